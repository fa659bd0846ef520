"""``seqlab train``: one run, from its spec to its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from seqlab import progress
from seqlab.collector import rare_collections
from seqlab.config.resolve import completed

#: The folder is this verb's own: ``run`` says by ``begin`` when it has taken it.
KEEPS_FOLDER = True
#: The module whose ``after_sweep`` is told the folders of a sweep's runs.
AFTER_SWEEP = "seqlab.verbs.compare"


def run(spec: dict[str, Any], run_dir: Path, begin: Callable[[], None] | None = None) -> float:
    """Train, test, and write the run's folder.

    Args:
        spec: the resolved spec.
        run_dir: the run's folder; ``spec["resume"]`` may name another.
        begin: called when the folder is checked and held by this process.

    Returns:
        The monitored validation metric of the best weights, for sweeps; NaN without
        validation rows.

    Raises:
        SeqlabError: bad input, in one line.
    """
    # Lightning takes seconds to import, so mistakes found before come at once
    with rare_collections(), progress.stage("starting", summary=False):
        from seqlab.training.run import train

    return train(spec, run_dir, begin, completed).objective
