"""Cross-validation: a run for each fold, and what their tests say together.

The interval of the mean is Student's, with the folds as its draws. It is too narrow: any two of K
folds share most of their training rows, so that their tests are correlated, and no unbiased
estimate of the variance exists (Bengio & Grandvalet, JMLR 2004).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from seqlab import console
from seqlab.bundle.manifest import versions
from seqlab.comparison.contestants import Contestant
from seqlab.comparison.plan_file import CROSSVALIDATION
from seqlab.comparison.runs import EndedRun, RunTask

RESULT = "crossvalidation.json"
#: How often the interval leaves the mean out, where folds were independent.
LEVEL = 0.05
OPTIMISTIC = (
    "The interval is Student's over the folds and optimistic: folds share training rows, so their "
    "values are correlated, and no unbiased estimate of the variance exists "
    "(Bengio & Grandvalet 2004). It counts no other seeds."
)


@dataclass(frozen=True)
class Folds:
    """A cross-validation before its first run.

    Attributes:
        runs: the run of each fold; all but ``source.split.fold`` is the same.
    """

    runs: tuple[Contestant, ...]

    @property
    def split(self) -> dict[str, Any]:
        """The rule that divides the rows, without the number of a fold."""
        rule = self.runs[0].spec["source"]["split"]
        return {key: value for key, value in rule.items() if key != "fold"}

    def write(self, folder: Path) -> None:
        """Keep it in the folder of the cross-validation."""
        CROSSVALIDATION.write(folder, self)

    @classmethod
    def read(cls, folder: Path) -> Folds:
        """The plan in a folder.

        Raises:
            RunError: there is none, or it is damaged.
        """
        return CROSSVALIDATION.read(folder, _folds)

    def same_as(self, other: Folds) -> bool:
        """Whether both train the same runs."""
        mine, others = (
            json.dumps([run.spec for run in folds.runs], sort_keys=True) for folds in (self, other)
        )
        return mine == others

    def tasks(self, folder: Path) -> list[RunTask]:
        """The runs, each in a folder of its own below this one."""
        return [
            RunTask(run, run.spec["seed"], folder / "runs" / f"fold-{fold}", run.overrides)
            for fold, run in enumerate(self.runs)
        ]


def _folds(content: Mapping[str, Any]) -> Folds:
    return Folds(tuple(map(Contestant.restored, content["runs"])))


def interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float, float, float]:
    """Mean, standard deviation, and the ends of Student's interval of the mean.

    With K values of mean m and standard deviation s (K - 1 in its denominator) the ends are
    m - t s / sqrt(K) and m + t s / sqrt(K), t the quantile 1 - level/2 of Student's distribution
    with K - 1 degrees of freedom.

    Args:
        values: two or more.
        level: how often the true mean is outside, for independent values.

    >>> [round(value, 4) for value in interval([0.7, 0.8, 0.9])]
    [0.8, 0.1, 0.5516, 1.0484]
    """
    drawn = np.asarray(values, np.float64)
    mean, deviation = float(drawn.mean()), float(drawn.std(ddof=1))
    quantile = float(special.stdtrit(len(drawn) - 1, 1 - level / 2))
    reach = quantile * deviation / math.sqrt(len(drawn))
    return mean, deviation, mean - reach, mean + reach


def answer(folds: Folds, runs: Sequence[EndedRun]) -> dict[str, Any]:
    """The content of ``crossvalidation.json``.

    Args:
        folds: the plan.
        runs: the run of each fold, ended.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.result["test"]))
    return {
        "metric": runs[0].result["monitor"]["name"],
        "mode": runs[0].result["monitor"]["mode"],
        "split": folds.split,
        "level": LEVEL,
        "metrics": {name: _over(runs, name) for name in names},
        "folds": [
            {
                "fold": fold,
                "rows": run.result["rows"],
                "test": run.result["test"],
                "validation": run.result["validation"],
                "seconds": run.result["seconds"],
                "overrides": list(folds.runs[fold].overrides),
                "run": str(run.folder),
            }
            for fold, run in enumerate(runs)
        ],
        "notes": [OPTIMISTIC],
        "versions": versions(),
    }


def _over(runs: Sequence[EndedRun], name: str) -> dict[str, float | None]:
    """A metric over the folds; unknown where a fold has no value of it."""
    keys = ("mean", "deviation", "low", "high")
    values = [run.result["test"].get(name) for run in runs]
    if any(value is None for value in values):
        return dict.fromkeys(keys)
    return dict(zip(keys, interval(values), strict=True))


def show(found: Mapping[str, Any]) -> None:
    """Print the table: a line for each fold, and what they say together."""
    metrics, number = found["metrics"], console.number
    rows = [
        [str(one["fold"]), f"{one['rows']['test']:,}",
         *(number(one["test"].get(name)) for name in metrics)]
        for one in found["folds"]
    ]  # fmt: skip
    ends = {"mean": "mean", "standard deviation": "deviation", "95 % from": "low", "to": "high"}
    rows += [[said, "", *(number(own[key]) for own in metrics.values())]
             for said, key in ends.items()]  # fmt: skip
    split = found["split"]
    by = next((f", {key}={split[key]}" for key in ("stratify", "group") if split.get(key)), "")
    console.say("")
    console.table(f"test, {split['folds']} folds{by}", ["fold", "rows", *metrics], rows)
    console.say("")
    name, own = found["metric"], metrics.get(found["metric"])
    if own and own["mean"] is not None:
        within = f"{number(own['low'])} .. {number(own['high'])}"
        console.paragraph(f"{name} {number(own['mean'])}, 95 % interval {within}.")
    for note in found["notes"]:
        console.paragraph(note)
