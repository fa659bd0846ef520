"""Numbers to predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from seqlab.data.numbers import row_of_numbers
from seqlab.data.part import Column
from seqlab.data.ragged import Array
from seqlab.data.raw_columns import Where
from seqlab.data.targets.base import Target
from seqlab.schema import Range, check_value
from seqlab.types import TargetInfo

_Size = Annotated[int, Range(least=1, most=1_000_000)]


class ValuesTarget(Target):
    """A number a row, or a row of C numbers, ``[R, C]`` float32."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.size = 1

    @property
    def info(self) -> TargetInfo:
        """``values``, and how many."""
        return TargetInfo("values", self.size)

    def fit(self, values: Column) -> None:
        """The first training row says how many numbers there are."""
        chunk, where = next(iter(values()))
        self.size = len(row_of_numbers(chunk[0], None, self.column, where, 0))

    def encode(self, values: Sequence[Any], where: Where) -> Array:
        """``[R, C]`` float32."""
        rows = [
            row_of_numbers(value, self.size, self.column, where, row)
            for row, value in enumerate(values)
        ]
        return np.array(rows, dtype=np.float32).reshape(len(rows), self.size)

    def decode(self, prediction: Any) -> list[float]:
        """The numbers themselves."""
        array = np.asarray(prediction, dtype=np.float64).reshape(-1)
        return [float(number) for number in array]

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
