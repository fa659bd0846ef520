"""A transform for seqlab: the extremes of series brought to quantiles of the training rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import numpy as np
from seqlab import BundleError, DataError, Transform
from seqlab.data.numbers import series
from seqlab.data.transforms.base import Row, Rows
from seqlab.schema import Range

#: A number in (0, 0.5).
Tail = Annotated[float, Range(above=0, below=0.5)]


class WinsorizeTransform(Transform):
    """Series without extremes: ``y_t = min(max(x_t, low), high)``.

    ``low`` and ``high`` are the quantiles ``tail`` and ``1 - tail`` of all steps of the training
    rows (Hastings, Mosteller, Tukey and Winsor, "Low moments for small samples", 1947).

    Args:
        column: the column of series of numbers.
        tail: the share of steps that is brought in on each side.

    Raises:
        RowError: a value is no series of numbers.

    Example:
        >>> clip = WinsorizeTransform(column="x", tail=0.25)
        >>> rows = [Row({"x": [0.0, 1.0, 2.0, 3.0, 100.0]}, 0)]
        >>> clip.fit(lambda: rows)
        >>> [row["x"] for row in clip.apply(rows, "train")]
        [[1.0, 1.0, 2.0, 3.0, 3.0]]
    """

    def __init__(self, *, column: str = "series", tail: Tail = 0.01) -> None:
        self.column, self.tail = column, tail
        self.reads = (column,)
        self.low, self.high = 0.0, 0.0

    def fit(self, rows: Rows) -> None:
        """The two quantiles."""
        steps = np.concatenate([self._steps(row) for row in rows()])
        self.low, self.high = (float(q) for q in np.quantile(steps, [self.tail, 1 - self.tail]))

    def apply(self, rows: Iterable[Row], split: str) -> Iterator[Row]:
        """The same rows, in every split by the quantiles of the training rows."""
        del split
        for row in rows:
            clipped = np.clip(self._steps(row), self.low, self.high).tolist()
            yield row.made({**row, self.column: clipped})

    def state(self) -> dict[str, Any]:
        """The quantiles."""
        return {"low": self.low, "high": self.high}

    def restore(self, state: Any) -> None:
        """Take the quantiles.

        Raises:
            BundleError: they are no two numbers in their order.
        """
        kept = state if isinstance(state, dict) else {}
        low, high = kept.get("low"), kept.get("high")
        if not isinstance(low, float) or not isinstance(high, float) or not low <= high:
            raise BundleError("winsorize needs two numbers, 'low' and a 'high' of at least that")
        self.low, self.high = low, high

    def _steps(self, row: Row) -> Any:
        try:
            return series(row[self.column], 1, self.column, str, row.number)[:, 0]
        except DataError as error:
            raise row.error(str(error).partition(": ")[2]) from error
