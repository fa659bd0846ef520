"""``seqlab crossvalidate``: a run for each fold, their mean and its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqlab import progress
from seqlab.collector import rare_collections
from seqlab.comparison.plan_file import CROSSVALIDATION
from seqlab.config.job_folder import write_words
from seqlab.console import say
from seqlab.errors import ConfigError, RunError
from seqlab.files import write_json
from seqlab.locks import folder_lock

if TYPE_CHECKING:
    from seqlab.comparison.crossvalidation import Folds
    from seqlab.comparison.runs import RunTask


#: Looked for before anything else is, where one is to go on.
BEGUN = CROSSVALIDATION


def run(
    settings: Mapping[str, Any],
    folds: Sequence[tuple[Sequence[str], Mapping[str, Any]]],
    folder: Path,
    config_dir: str | None = None,
) -> dict[str, Any]:
    """Train a run for each fold, write ``crossvalidation.json``, print a table.

    A cross-validation that was begun in the folder goes on.

    Args:
        settings: as in ``seqlab.config.verb_specs.CrossvalidateSpec``.
        folds: the words and the spec of each run; none for ``resume``.
        folder: for the plan, the runs and the answer.
        config_dir: where else configs lie.

    Returns:
        The content of ``crossvalidation.json``.

    Raises:
        SeqlabError: bad input, or a run failed; the message names the fold.
    """
    with rare_collections(), progress.stage("starting", summary=False):
        from seqlab.comparison.contestants import Contestant
        from seqlab.comparison.crossvalidation import Folds
        from seqlab.training.lightning_advice import quiet

    with quiet():
        plan = Folds(
            tuple(
                Contestant(f"fold {number}", tuple(words), spec).one_threaded()
                for number, (words, spec) in enumerate(folds)
            )
        )
        if folds and not CROSSVALIDATION.is_in(folder):
            _check_data(plan)
        with folder_lock(folder):
            return _carried_out(plan, settings, folder, config_dir)


def _check_data(plan: Folds) -> None:
    """Read the rows once, before a run starts: the last fold is the smallest."""
    from seqlab.comparison.models import DataSets

    with progress.stage("reading rows", summary=False):
        data = DataSets().of(plan.runs[-1])
    if "test" not in data.splits:
        raise ConfigError("crossvalidate: the source has no test rows though it was divided")


def _carried_out(
    plan: Folds, settings: Mapping[str, Any], folder: Path, config_dir: str | None
) -> dict[str, Any]:
    from seqlab.comparison.crossvalidation import RESULT, Folds, answer, show
    from seqlab.comparison.runs import EndedRun, carry_out

    if CROSSVALIDATION.is_in(folder):
        begun = Folds.read(folder)
        if plan.runs and not plan.same_as(begun):
            raise RunError(
                f"{folder} holds another cross-validation; choose another by hydra.run.dir=FOLDER"
            )
        plan = begun
    plan.write(folder)
    say(f"{len(plan.runs)} folds; if it is stopped: seqlab crossvalidate resume={folder}")
    runs = carry_out(
        plan.tasks(folder),
        jobs=settings["jobs"],
        budget=None,
        begin=partial(_begin, config_dir=config_dir),
        end=EndedRun.of,
        name="cross-validating",
    )
    found = answer(plan, runs)
    write_json(folder / RESULT, found)
    show(found)
    say(f"answer  {folder / RESULT}")
    return found


def _begin(task: RunTask, config_dir: str | None) -> None:
    write_words(task.folder, task.words, config_dir)
