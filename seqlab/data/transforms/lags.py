"""What a series was some steps before, beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

from seqlab.data.numbers import number_in
from seqlab.data.transforms.base import Row, Transform
from seqlab.data.transforms.windows import Columns, steps_of
from seqlab.schema import Count, Flag, Name, Rule, checked

#: How many steps back.
Lags = Annotated[Sequence[Count], Rule(bool, "a list of steps back")]


class LagsTransform(Transform):
    """Series with what they were some steps before: the last day, the last week.

    For a lag k the column ``x`` gets a column ``x_lag_k`` of ``x_{t-k}``, or with ``change``
    ``x_change_k`` of ``x_t - x_{t-k}``. The first steps, which lack the longest lag, are left out
    of these and of all other series that are as long. Put it between ``group`` and ``windows``.

    Args:
        columns: the columns of series.
        steps: the lags.
        change: the change since then, instead of what was then.

    Raises:
        RowError: a series is not longer than the longest lag, or has an entry that is no number.

    Example:
        >>> lags = LagsTransform(columns="x", steps=[2], change=True)
        >>> [dict(row) for row in lags.apply([Row({"x": [1, 2, 4, 8], "t": [0, 1, 2, 3]}, 0)], "")]
        [{'x': [4, 8], 't': [2, 3], 'x_change_2': [3.0, 6.0]}]
    """

    @checked
    def __init__(self, *, columns: Name | Columns, steps: Lags, change: Flag = False) -> None:
        self.columns = (columns,) if isinstance(columns, str) else tuple(columns)
        self.steps, self.change = tuple(steps), change
        self.reads = self.columns
        self.makes = tuple(self._name(column, k) for column in self.columns for k in self.steps)

    def apply(self, rows: Iterable[Row], split: str) -> Iterator[Row]:
        """The same rows with the columns that are added."""
        del split
        longest = max(self.steps)
        for row in rows:
            series = {column: self._series(row, column) for column in self.columns}
            values = {
                name: value[longest:]
                if isinstance(value, (list, tuple)) and len(value) == len(series[self.columns[0]])
                else value
                for name, value in row.items()
            }
            for column, numbers in series.items():
                values[column] = numbers[longest:]
                for k in self.steps:
                    before = numbers[longest - k : len(numbers) - k]
                    values[self._name(column, k)] = self._beside(row, column, before, numbers)
            yield row.made(values)

    def _name(self, column: str, k: int) -> str:
        return f"{column}_{'change' if self.change else 'lag'}_{k}"

    def _beside(
        self, row: Row, column: str, before: Sequence[Any], numbers: Sequence[Any]
    ) -> Sequence[Any]:
        if not self.change:
            return before
        now = numbers[len(numbers) - len(before) :]
        return [
            _number(row, column, value) - _number(row, column, then)
            for value, then in zip(now, before, strict=True)
        ]

    def _series(self, row: Row, column: str) -> Sequence[Any]:
        found = steps_of(row[column])
        if found is None:
            raise row.error(
                f"column '{column}': expected a list of steps, found {row[column]!r:.60}"
            )
        if len(found) <= max(self.steps):
            raise row.error(
                f"column '{column}': a lag of {max(self.steps)} needs more steps than that, found "
                f"{len(found)}; give shorter lags, or leave short rows out by the transform filter"
            )
        return found


def _number(row: Row, column: str, value: Any) -> float:
    number = number_in(value)
    if number is None:
        raise row.error(
            f"column '{column}': expected a number, found {value!r:.60}; the transform fill mends "
            "what is missing"
        )
    return number
