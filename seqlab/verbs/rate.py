"""``seqlab rate experiment=NAME``: a learning rate to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seqlab import console, progress
from seqlab.collector import rare_collections
from seqlab.errors import ConfigError

_LINES = 12


def run(spec: dict[str, Any], run_dir: Path) -> None:
    """Print how the loss went as the rate rose, and the rate to begin with.

    Nothing is written, and no run is changed.

    Args:
        spec: the resolved spec of a training run, which is not resumed.
        run_dir: not used.

    Raises:
        SeqlabError: bad input, or no rate can be told; in one line.
    """
    del run_dir
    if spec.get("resume"):
        raise ConfigError("resume: a range test begins a model of its own; leave it out")
    with rare_collections(), progress.stage("starting", summary=False):
        from seqlab.training.rates import find_rate

    with progress.stage("trying rates", summary=False):
        found = find_rate(spec)
    pairs = list(zip(found.rates, found.losses, strict=True))
    step = max(1, len(pairs) // _LINES)
    rows = [[f"{rate:.1e}", f"{loss:.4g}"] for rate, loss in pairs[::step]]
    console.table(f"{len(pairs)} steps, the rate rising", ["rate", "loss (smoothed)"], rows)
    console.say(
        f"begin with optimizer.lr={found.suggestion:g}, a tenth of where the loss was lowest"
    )
