"""Rows of a long table, one a step, as one row a series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from seqlab.data.raw_columns import show
from seqlab.data.times import time_of
from seqlab.data.transforms.base import Row, Transform


class _Series:
    """The rows of one series so far."""

    def __init__(self, first: Row) -> None:
        self.first = first
        self.columns: dict[str, list[Any]] = {column: [] for column in first}
        self.numbers: list[int] = []
        self.times: list[float] = []

    def sorted(self, order: str) -> dict[str, list[Any]]:
        """The columns in the order of time.

        Raises:
            RowError: two rows have the same time.
        """
        places = sorted(range(len(self.times)), key=self.times.__getitem__)
        for before, place in pairwise(places):
            if self.times[before] == self.times[place]:
                values = {column: entries[place] for column, entries in self.columns.items()}
                raise Row(values, self.numbers[place]).error(
                    f"column '{order}': {show(values[order])} is there twice in one series"
                )
        return {c: [entries[place] for place in places] for c, entries in self.columns.items()}


class GroupTransform(Transform):
    """The rows of a long table as series: one row for each, its columns as lists in time order.

    Args:
        by: the column, or columns, whose values tell series apart; null: all rows are one series.
        order: the column of times, numbers or ISO dates; null: the order of the rows.
        constant: further columns with one value in each series, which stays as it is: a label.

    Raises:
        RowError: a time is none or is there twice, or a constant column varies.

    Example:
        >>> rows = [Row({"id": "a", "t": t, "x": x}, t) for t, x in enumerate([1, 2, 3])]
        >>> [dict(row) for row in GroupTransform(by="id", order="t").apply(rows, "train")]
        [{'id': 'a', 't': [0, 1, 2], 'x': [1, 2, 3]}]
    """

    whole = True

    def __init__(
        self,
        *,
        by: str | Sequence[str] | None = None,
        order: str | None = None,
        constant: Sequence[str] = (),
    ) -> None:
        self.by = (by,) if isinstance(by, str) else tuple(by or ())
        self.order = order
        self.single = (*self.by, *constant)
        self.reads = (*self.by, *((order,) if order is not None else ()))

    def apply(self, rows: Iterable[Row], split: str) -> Iterator[Row]:
        """One row a series, in the order of their first rows."""
        del split
        found: dict[tuple[Any, ...], _Series] = {}
        for row in rows:
            series = found.setdefault(self._key(row), _Series(row))
            self._add(series, row)
        for series in found.values():
            columns = series.columns if self.order is None else series.sorted(self.order)
            values = {c: e[0] if c in self.single else e for c, e in columns.items()}
            yield series.first.made(values)

    def _key(self, row: Row) -> tuple[Any, ...]:
        key = tuple(row[column] for column in self.by)
        for column, value in zip(self.by, key, strict=True):
            if value is None or isinstance(value, (list, dict)):
                raise row.error(
                    f"column '{column}': expected a text or a number that tells series apart, "
                    f"found {show(value)}"
                )
        return key

    def _add(self, series: _Series, row: Row) -> None:
        for column, entries in series.columns.items():
            if column not in row:
                raise row.missing(column)
            value = row[column]
            if column in self.single and entries and entries[0] != value:
                raise row.error(
                    f"column '{column}': {show(value)} in a series that has {show(entries[0])}"
                )
            entries.append(value)
        if self.order is not None:
            at = time_of(row[self.order])
            if at is None:
                raise row.error(
                    f"column '{self.order}': expected a number or an ISO date, "
                    f"found {show(row[self.order])}"
                )
            series.numbers.append(row.number)
            series.times.append(at)
