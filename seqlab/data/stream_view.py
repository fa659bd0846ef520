"""Rows chosen of a split that is read anew on each pass."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import compress, islice
from typing import Any

import datasets
import numpy as np

from seqlab import progress
from seqlab.data.order import held_out
from seqlab.data.raw_columns import Where
from seqlab.data.row_views import CHUNK, Columns, NumberedRow, View, value_of
from seqlab.data.shards import Shards, share_of


class StreamView(View):
    """Rows of a ``datasets.IterableDataset``, read again on each pass.

    The first pass over all of them counts the rows and keeps their classes, which are small, so
    that no other pass is needed for these.

    Args:
        data: the source's split.
        locate: where the i-th row of that split stands.
        label: the column with the row's class, or None.
        parent: the view of all rows from which these were chosen, or None.
        chosen: which rows of the split belong to the view, or None for all.
        first: how many of them to take, or None for all.
        shards: the split's, where processes read a part each.
    """

    def __init__(
        self,
        data: datasets.IterableDataset,
        locate: Where,
        label: str | None = None,
        *,
        parent: StreamView | None = None,
        chosen: np.ndarray | None = None,
        first: int | None = None,
        shards: Shards | None = None,
    ) -> None:
        super().__init__(data, locate)
        self._label = label
        self._parent = parent
        self._chosen = chosen
        self._first = first
        self._shards = shards or Shards(data, apart=False)
        self._count: int | None = None
        self._labels: list[Any] | None = None

    def _placed(self) -> Iterator[NumberedRow]:
        """The rows and their numbers in the source's split."""
        rows = self._shards.between(0, None) if self._shards.count > 1 else enumerate(self.data)
        if self._chosen is not None:
            rows = compress(rows, self._chosen)
        return islice(rows, self._first)

    def chunks(self, columns: Sequence[str]) -> Iterator[tuple[Columns, Where]]:
        """See the base class."""
        if self._labels is not None and list(columns) == [self._label]:
            yield from self._label_chunks(columns[0], self._labels)
            return
        rows = self._placed()
        labels: list[Any] = []
        count = 0
        while part := list(islice(rows, CHUNK)):
            places = [place for place, _ in part]
            count += len(part)
            if self._label is not None and self._labels is None:
                labels.extend(map(_interned, self._values(part, self._label)))
            values = {name: self._values(part, name) for name in columns}
            yield self._named_columns(values), partial(self._place, places)
        self._count = count
        if self._label is not None and self._labels is None:
            self._labels = labels

    def _label_chunks(self, column: str, labels: list[Any]) -> Iterator[tuple[Columns, Where]]:
        for start in range(0, len(labels), CHUNK):
            values = {column: labels[start : start + CHUNK]}
            yield self._named_columns(values), partial(self._where_from, start)

    def _values(self, part: Sequence[NumberedRow], column: str) -> list[Any]:
        try:
            return [row[column] for _, row in part]
        except KeyError:
            return [value_of(row, column, self.locate, place) for place, row in part]

    def _place(self, places: Sequence[int], index: int) -> str:
        return self.locate(places[index])

    def where(self, number: int) -> str:
        """See the base class."""
        chosen = self._chosen
        return self.locate(number if chosen is None else int(np.flatnonzero(chosen)[number]))

    def numbered(self) -> Iterator[NumberedRow]:
        """The rows, numbered from 0."""
        return ((n, self.named(row)) for n, (_, row) in enumerate(self._placed()))

    def share(self, rank: int, world_size: int) -> Iterator[NumberedRow]:
        """The rows of one of several processes, with the numbers they have among all.

        Rows lie together, so that of several shards few are opened; of the first of these, rows
        before the share are read too.
        """
        first, last = share_of(len(self), rank, world_size)
        if first == last:
            return
        chosen, start, end = self._chosen, first, last
        if chosen is not None:
            places = np.flatnonzero(chosen)
            start, end = int(places[first]), int(places[last - 1]) + 1
        rows = self._shards.between(start, end)
        mine = (row for place, row in rows if chosen is None or chosen[place])
        yield from enumerate(map(self.named, mine), first)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (row for _, row in self.numbered())

    def __getitem__(self, number: int) -> dict[str, Any]:
        for row in islice(self, number, number + 1):
            return row
        raise IndexError(number)

    def __len__(self) -> int:
        if self._count is None:
            with progress.stage("counting") as stage:
                for _ in self._placed():
                    stage.advance()
                self._count = stage.done
        return self._count

    @property
    def known_length(self) -> int | None:
        """See the base class."""
        return self._count

    def whole(self) -> StreamView:
        """See the base class."""
        return self if self._first is not None or self._parent is None else self._parent

    def divide(
        self, fraction: float, seed: int, label: str | None
    ) -> tuple[StreamView, StreamView]:
        """See the base class; it takes one pass, to count the rows and see their classes."""
        classes = self.classes(label)
        chosen = held_out(len(self), fraction, seed, classes)
        return self._part(~chosen), self._part(chosen)

    def _part(self, chosen: np.ndarray) -> StreamView:
        part = StreamView(
            self.data,
            self.locate,
            self._label,
            parent=self,
            chosen=chosen,
            shards=self._shards,
        )
        part._count = int(chosen.sum())
        part._labels = self._labels and list(compress(self._labels, chosen))
        return part

    def limit(self, count: int | None, _seed: int) -> StreamView:
        """The first ``count`` rows: a random subset of a stream would need all of it."""
        if count is None:
            return self
        return StreamView(
            self.data,
            self.locate,
            self._label,
            parent=self._parent,
            chosen=self._chosen,
            first=count,
            shards=self._shards,
        )


def _interned(value: Any) -> Any:
    """Equal texts as one object: few classes are the values of many rows."""
    return sys.intern(value) if type(value) is str else value
