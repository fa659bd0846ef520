"""``seqlab sweep``: points of a space of configs, each an ordinary run; the best is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqlab import progress
from seqlab.collector import rare_collections
from seqlab.comparison.plan_file import SWEEP
from seqlab.errors import MachineError

#: Looked for before anything else is, where one is to go on.
BEGUN = SWEEP


def run(
    settings: Mapping[str, Any], words: Sequence[str], folder: Path, config_dir: str | None = None
) -> dict[str, Any]:
    """Carry out what is left of a sweep, write ``sweep.json`` and a page, print what came of it.

    Args:
        settings: as in ``seqlab.config.verb_specs.SweepSpec``.
        words: the overrides that all trials share; none for ``resume``.
        folder: for the journal, the trials and the answer.
        config_dir: where else configs lie.

    Returns:
        The content of ``sweep.json``.

    Raises:
        SeqlabError: bad input, or no trial came to its end.
    """
    with rare_collections(), progress.stage("starting", summary=False):
        try:
            import optuna  # noqa: F401 - whether it is there
        except ImportError as error:
            raise MachineError("sweep needs Optuna: pip install 'seqlab[sweep]'") from error
        from seqlab.bundle.saving import check_place
        from seqlab.sweeping.crew import carry_out
        from seqlab.sweeping.plan import BUNDLE
        from seqlab.sweeping.preparing import begun_plan, new_plan
        from seqlab.sweeping.result import answer

    check_place(folder / BUNDLE)
    options = settings["sweep"]
    if settings["resume"]:
        plan = begun_plan(folder, options["trials"])
    else:
        plan = new_plan(options, words, folder, config_dir)
    carry_out(folder, plan, workers=options["workers"])
    return answer(folder, plan)


def check_space(
    space: Mapping[str, Any], words: Sequence[str], config_dir: str | None = None
) -> None:
    """Refuse a space that a sweep would refuse, without an import of any part.

    Args:
        space: as in ``seqlab.config.verb_specs.SweepSettings``.
        words: the overrides that all trials share.
        config_dir: where else configs lie.

    Raises:
        SeqlabError: the space or a config in it is not right.
    """
    from seqlab.config.shown import shown
    from seqlab.config.sweep_app import without
    from seqlab.sweeping.corners import check_corners
    from seqlab.sweeping.space import read_space

    dimensions = read_space(space)
    shared = without(words, [dimension.name for dimension in dimensions])
    check_corners(dimensions, shared, config_dir, shown)
