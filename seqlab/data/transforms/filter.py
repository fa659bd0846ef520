"""Rows that are too short or too long, left out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from seqlab.data.raw_columns import show
from seqlab.data.transforms.base import PREDICT, Row, Transform
from seqlab.data.written_lists import written_list
from seqlab.errors import OptionError
from seqlab.schema import Count, Whole, check_order

_log = logging.getLogger(__name__)


class FilterTransform(Transform):
    """Leaves out rows whose value of a column is too short or too long, and says how many.

    A list's length is its entries, a text's its characters.

    Args:
        column: the column.
        min_length: shorter ones are left out.
        max_length: longer ones are left out.
        splits: the splits to do so in; others stay whole. Rows to predict are one: ``predict``.

    Raises:
        OptionError: neither bound is given, or they leave nothing.
        RowError: a value has no length.

    Example:
        >>> rows = [Row({"text": text}, n) for n, text in enumerate(["a", "abc"])]
        >>> long = FilterTransform(column="text", min_length=2)
        >>> [row["text"] for row in long.apply(rows, "train")]
        ['abc']
    """

    def __init__(
        self,
        *,
        column: str,
        min_length: Whole = 0,
        max_length: Count | None = None,
        splits: Sequence[Literal["train", "validation", "test", "predict"]] = (
            "train",
            "validation",
            "test",
            "predict",
        ),
    ) -> None:
        if not min_length and max_length is None:
            raise OptionError("min_length: give it, max_length, or both")
        if max_length is not None:
            check_order(min_length=min_length, max_length=max_length)
        self.column, self.splits = column, tuple(splits)
        self.min_length, self.max_length = min_length, max_length
        self.reads = (column,)
        self._said: set[str] = set()

    def apply(self, rows: Iterable[Row], split: str) -> Iterator[Row]:
        """The rows that are neither too short nor too long."""
        if split not in self.splits:
            yield from rows
            return
        short = long = total = 0
        for row in rows:
            total += 1
            length = self._length(row)
            if length < self.min_length:
                short += 1
            elif self.max_length is not None and length > self.max_length:
                long += 1
            else:
                yield row
        if short + long and (split == PREDICT or split not in self._said):
            self._said.add(split)
            _log.warning(
                "data.transforms: filter left out %s of %s rows of %s: column '%s' was too short "
                "in %s and too long in %s",
                *(f"{short + long:,}", f"{total:,}", split, self.column, f"{short:,}", f"{long:,}"),
            )

    def _length(self, row: Row) -> int:
        value = row[self.column]
        if isinstance(value, str):
            try:
                value = written_list(value) or value
            except (ValueError, SyntaxError):
                return len(value)
        try:
            return len(value)
        except TypeError:
            expected = f"column '{self.column}': expected a text or a list, found {show(value)}"
            raise row.error(expected) from None
