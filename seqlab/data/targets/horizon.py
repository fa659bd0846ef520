"""The steps that come after a series, to predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from seqlab.data.numbers import series_with_gaps
from seqlab.data.part import NEXT, Column, ColumnPart
from seqlab.data.ragged import Array
from seqlab.data.raw_columns import Where, refuse
from seqlab.data.targets.base import Target
from seqlab.data.targets.values import Missing
from seqlab.errors import OptionError
from seqlab.schema import Name, Range, check_value
from seqlab.types import TargetInfo

_Size = Annotated[int, Range(least=1, most=1_000_000)]


class HorizonTarget(Target):
    """H steps of C numbers that come after a series, ``[R, H, C]`` float32.

    The transform ``windows`` makes the column ``x_next`` for a series ``x``. The steps are scaled
    as the feature that they go on with, by the training rows, or row by row where it says so.

    Args:
        column: the column of the data set: a list of H numbers, or of H rows of C.
        feature: the feature of the steps before, of kind ``numeric``; by default that of column
            ``x`` where the target's is ``x_next``.
        missing: ``refuse`` rows where a number is missing (null, NaN, empty or ``NA`` in text), or
            ``mask``: leave the number out of loss and metrics.

    Raises:
        OptionError: there is no such numeric feature.
    """

    samples = ([1.0, 2.0], [3.0, 4.5], [5.0, 0.0], [2.0, 2.0], [1.0, 0.5], [7.0, 3.0])

    def __init__(
        self, column: str, *, feature: Name | None = None, missing: Missing = "refuse"
    ) -> None:
        super().__init__(column)
        self.given, self.missing = feature, missing
        self.series: ColumnPart | None = None
        self.steps = self.size = 1

    @property
    def info(self) -> TargetInfo:
        """``horizon``, with the number of steps and of numbers in each."""
        return TargetInfo("horizon", self.size, feature=_name(self.series), steps=self.steps)

    @property
    def scaling(self) -> tuple[Array, Array] | None:
        """Mean and deviation of the series before."""
        return None if self.series is None else self.series.scaling

    def see(self, features: Sequence[ColumnPart]) -> None:
        """Find the feature of the steps before."""
        known = {_name(part): part for part in features if part.scaling is not None}
        if self.given is not None and self.given not in known:
            listing = ", ".join(known) or "none"
            raise OptionError(
                f"data.target.feature: expected a numeric feature of steps ({listing}), got "
                f"'{self.given}'"
            )
        fitting = [f for f in known.values() if f.column + NEXT == self.column]
        self.series = known[self.given] if self.given is not None else next(iter(fitting), None)

    def fit(self, values: Column) -> None:
        """The first training row says how many steps and numbers there are."""
        chunk, where = next(iter(values()))
        self.steps, self.size = self._array(chunk[0], None, where, 0).shape
        before = self.size if self.scaling is None else len(self.scaling[0])
        if before != self.size:
            raise OptionError(
                f"data.target: column '{self.column}' has {self.size} numbers a step, the feature "
                f"'{_name(self.series)}' that it goes on with has {before}"
            )

    def encode(self, values: Sequence[Any], where: Where) -> Array:
        """``[R, H, C]`` float32."""
        found = np.empty((len(values), self.steps, self.size), dtype=np.float32)
        for row, value in enumerate(values):
            array = self._array(value, self.size, where, row)
            if len(array) != self.steps:
                expected = f"{self.steps} steps, as in the training rows"
                raise refuse(where(row), self.column, expected, f"{len(array)} steps")
            found[row] = array
        return found

    def decode(self, prediction: Any) -> Any:
        """The numbers themselves."""
        return np.asarray(prediction, dtype=np.float64).tolist()

    def state(self) -> dict[str, Any]:
        """How many steps and numbers there are."""
        return {"steps": self.steps, "size": self.size}

    def restore(self, state: Any) -> None:
        """Take them.

        Raises:
            OptionError: they are no positive whole numbers.
        """
        steps: Any = dict(state).get("steps")
        size: Any = dict(state).get("size")
        self.steps = check_value(steps, _Size, "steps")
        self.size = check_value(size, _Size, "size")

    def _array(self, value: Any, size: int | None, where: Where, row: int) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = [value]
        gaps = self.missing == "mask"
        found = series_with_gaps(value, size, self.column, where, row, gaps=gaps)
        if not len(found):
            raise refuse(where(row), self.column, "at least one step", value)
        return found


def _name(feature: ColumnPart | None) -> str:
    return str(getattr(feature, "name", ""))
