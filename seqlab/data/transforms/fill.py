"""Missing numbers in series, filled in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from seqlab.data.numbers import is_missing
from seqlab.data.raw_columns import show
from seqlab.data.transforms.base import Row, Rows, Transform
from seqlab.data.transforms.windows import steps_of
from seqlab.errors import BundleError


class FillTransform(Transform):
    """Fills in what is missing in series of numbers: null, NaN, and empty or ``NA`` in text.

    Args:
        columns: the columns of series, or of one number a row.
        by: ``previous``: the number before it in the series, and at the beginning the mean;
            ``mean``: the mean of the training rows' numbers, which the bundle keeps.

    Raises:
        RowError: an entry is neither a number nor missing, or no training row has a number.

    Example:
        >>> fill = FillTransform(columns="x")
        >>> rows = [Row({"x": [None, 1.0, float("nan"), 3.0]}, 0)]
        >>> fill.fit(lambda: rows)
        >>> [row["x"] for row in fill.apply(rows, "train")]
        [[2.0, 1.0, 1.0, 3.0]]
    """

    def __init__(
        self, *, columns: str | Sequence[str], by: Literal["previous", "mean"] = "previous"
    ) -> None:
        self.columns = (columns,) if isinstance(columns, str) else tuple(columns)
        self.by = by
        self.means = dict.fromkeys(self.columns, 0.0)

    def fit(self, rows: Rows) -> None:
        """The mean of each column's numbers."""
        last: Row | None = None
        sums = dict.fromkeys(self.columns, 0.0)
        counts = dict.fromkeys(self.columns, 0)
        for last in rows():
            for column in self.columns:
                if column not in last:
                    raise last.missing(column)
                known = [n for n in _numbers(last, column)[0] if n is not None]
                sums[column] += math.fsum(known)
                counts[column] += len(known)
        for column, count in counts.items():
            if last is not None and not count:
                raise last.error(f"column '{column}': no training row has a number up to here")
            self.means[column] = sums[column] / max(1, count)

    def apply(self, rows: Iterable[Row], split: str) -> Iterator[Row]:
        """The same rows with nothing missing in the columns."""
        del split
        for row in rows:
            values = dict(row)
            for column in self.columns:
                if column in row:
                    numbers, single = _numbers(row, column)
                    filled = self._filled(column, numbers)
                    values[column] = filled[0] if single else filled
            yield row.made(values)

    def state(self) -> dict[str, Any]:
        """The means."""
        return dict(self.means)

    def restore(self, state: Any) -> None:
        """Take the means.

        Raises:
            BundleError: there is not a finite number for each column.
        """
        kept: dict[str, Any] = state if isinstance(state, dict) else {}
        means = [kept.get(column) for column in self.columns]
        good = [isinstance(mean, (int, float)) and math.isfinite(mean) for mean in means]
        if set(kept) != set(self.columns) or not all(good):
            raise BundleError(f"fill needs the means of {', '.join(self.columns)}")
        self.means = {column: float(kept[column]) for column in self.columns}

    def _filled(self, column: str, numbers: Sequence[float | None]) -> list[float]:
        before, filled = self.means[column], []
        for number in numbers:
            filled.append(before if number is None else number)
            if self.by == "previous":
                before = filled[-1]
        return filled


def _numbers(row: Row, column: str) -> tuple[list[float | None], bool]:
    """The numbers of a row, None for what is missing, and whether it is one number alone."""
    value = row[column]
    single = value is None or isinstance(value, (int, float))
    entries = [value] if single or value == "" else steps_of(value)
    if entries is None:
        raise row.error(f"column '{column}': expected numbers, found {show(value)}")
    return [_number(row, column, entry) for entry in entries], single


def _number(row: Row, column: str, entry: Any) -> float | None:
    if is_missing(entry):
        return None
    try:
        return float(entry)
    except (TypeError, ValueError, OverflowError):
        raise row.error(
            f"column '{column}': expected a number or nothing, found {show(entry)}"
        ) from None
