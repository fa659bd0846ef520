"""What a sweep has set out to do, in a file that its workers read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqlab.comparison.plan_file import SWEEP
from seqlab.sweeping.space import Dimension

RESULT, PAGE, BUNDLE = "sweep.json", "report.html", "bundle"


@dataclass(frozen=True)
class Plan:
    """A sweep before its first trial.

    Attributes:
        space: what varies.
        words: the overrides that all trials share.
        trials: how many there are in all.
        sampler: how points are chosen: ``tpe``, ``random`` or ``grid``.
        pruner: when a trial is given up: ``median``, ``halving``, ``hyperband`` or ``none``.
        startup: trials that no other is measured against before there are so many.
        warmup: validations of a trial before it may be given up.
        seed: of the choice of points.
        metric: the monitored validation metric.
        mode: whether its best is the ``min`` or the ``max``.
        config_dir: where else configs lie.
    """

    space: tuple[Dimension, ...]
    words: tuple[str, ...]
    trials: int
    sampler: str
    pruner: str
    startup: int
    warmup: int
    seed: int
    metric: str
    mode: str
    config_dir: str | None = None

    def write(self, folder: Path) -> None:
        """Keep it in the sweep's folder."""
        SWEEP.write(folder, self)

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """The plan in a folder.

        Raises:
            RunError: there is none, or it is damaged.
        """
        return SWEEP.read(folder, _plan)


def trial_folder(folder: Path, number: int) -> Path:
    """Where a trial's run lies."""
    return folder / "trials" / f"{number:04d}"


def _plan(content: Mapping[str, Any]) -> Plan:
    values = {key: value for key, value in content.items() if key != "format"}
    space = tuple(
        Dimension(**{**one, "choices": tuple(one["choices"])}) for one in values.pop("space")
    )
    return Plan(space=space, words=tuple(values.pop("words")), **values)
