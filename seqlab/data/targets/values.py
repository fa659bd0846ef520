"""Numbers to predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np

from seqlab.data.numbers import row_of_numbers, series_with_gaps
from seqlab.data.part import Column
from seqlab.data.ragged import Array, Ragged
from seqlab.data.raw_columns import Where
from seqlab.data.targets.base import Target
from seqlab.schema import Range, check_value
from seqlab.types import TargetInfo

_Size = Annotated[int, Range(least=1, most=1_000_000)]
#: What to do with a number that is missing: refuse the row, or leave the number out of loss and
#: metrics.
Missing = Literal["refuse", "mask"]


class ValuesTarget(Target):
    """A number a row or a step, or C numbers: ``[R, C]`` or ``[T, C]`` a row, float32.

    Args:
        column: the column of the data set.
        per: ``row``, or ``step``: one for each step of the input.
        missing: ``refuse`` rows where a number is missing (null, NaN, empty or ``NA`` in text), or
            ``mask``: leave the number out of loss and metrics.
    """

    def __init__(
        self, column: str, *, per: Literal["row", "step"] = "row", missing: Missing = "refuse"
    ) -> None:
        super().__init__(column)
        self.size = 1
        self.per, self.missing = per, missing
        self.layout = "row" if per == "row" else "steps"

    @property
    def info(self) -> TargetInfo:
        """``values`` or ``step_values``, and how many."""
        return TargetInfo("values" if self.per == "row" else "step_values", self.size)

    def fit(self, values: Column) -> None:
        """The first training row with a number says how many there are."""
        for chunk, where in values():
            for row, value in enumerate(chunk):
                if self.per == "row":
                    self.size = len(self._row(value, None, where, row))
                    return
                found = self._steps(value, None, where, row)
                if len(found):
                    self.size = found.shape[1]
                    return

    def encode(self, values: Sequence[Any], where: Where) -> Array | Ragged:
        """``[R, C]`` float32, or of each row ``[T, C]``."""
        if self.per == "row":
            rows = [self._row(value, self.size, where, row) for row, value in enumerate(values)]
            return np.array(rows, dtype=np.float32).reshape(len(rows), self.size)
        steps = [self._steps(value, self.size, where, row) for row, value in enumerate(values)]
        flat = np.concatenate([row.reshape(-1, self.size) for row in steps]).astype(np.float32)
        return Ragged.from_flat(flat, [len(row) for row in steps])

    def decode(self, prediction: Any) -> Any:
        """The numbers themselves."""
        array = np.asarray(prediction, dtype=np.float64)
        return (array.reshape(-1) if self.per == "row" else array).tolist()

    def state(self) -> dict[str, Any]:
        """How many numbers there are."""
        return {"size": self.size}

    def restore(self, state: Any) -> None:
        """Take the number of numbers.

        Raises:
            OptionError: it is no positive whole number.
        """
        size: Any = dict(state).get("size")
        self.size = check_value(size, _Size, "size")

    def _row(self, value: Any, size: int | None, where: Where, row: int) -> list[float]:
        return row_of_numbers(value, size, self.column, where, row, gaps=self.missing == "mask")

    def _steps(self, value: Any, size: int | None, where: Where, row: int) -> Any:
        gaps = self.missing == "mask"
        return series_with_gaps(value, size, self.column, where, row, gaps=gaps)
