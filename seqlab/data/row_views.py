"""One split of a loaded source: the rows chosen of it, in memory or as a stream."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import compress, islice
from typing import Any

import datasets
import numpy as np

from seqlab import progress
from seqlab.data.arrow import rows_of
from seqlab.data.order import Indices, held_out, subset
from seqlab.data.raw_columns import Where
from seqlab.errors import DataError

CHUNK = 4096
#: One row in so many is chosen where they are sliced together.
_DENSE = 16

#: A row and its number in the view.
NumberedRow = tuple[int, dict[str, Any]]

#: Column to values, one a row.
Columns = dict[str, list[Any]]


class View(ABC):
    """Chosen rows of one split of a source.

    Args:
        data: the source's split.
        locate: where the i-th row of that split stands, for errors.
    """

    def __init__(self, data: Any, locate: Where) -> None:
        self.data = data
        self.locate = locate
        self._names = _label_names(data.features)

    @abstractmethod
    def chunks(self, columns: Sequence[str]) -> Iterator[tuple[Columns, Where]]:
        """All rows, column by column, some thousand at a time; where each of them stands."""

    @abstractmethod
    def where(self, number: int) -> str:
        """Where the row with that number stands."""

    @abstractmethod
    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The raw rows in order."""

    @abstractmethod
    def __getitem__(self, number: int) -> dict[str, Any]:
        """The raw row with that number; ``Batch.rows`` holds such numbers."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def whole(self) -> View:
        """All rows of the source's split; of a stream with a limit no more than that."""

    @abstractmethod
    def divide(self, fraction: float, seed: int, label: str | None) -> tuple[View, View]:
        """These rows as training and validation rows.

        Args:
            fraction: the share of validation rows.
            seed: which rows these are.
            label: the column with the row's class, of which each gives its share.
        """

    def _where_from(self, start: int, index: int) -> str:
        return self.where(start + index)

    def classes(self, label: str | None) -> list[Any] | None:
        """The class of each row, where a column holds it."""
        if label is None:
            return None
        return [name for columns, _ in self.chunks([label]) for name in columns[label]]

    @abstractmethod
    def limit(self, count: int | None, seed: int) -> View:
        """At most ``count`` of these rows."""

    @property
    @abstractmethod
    def known_length(self) -> int | None:
        """The number of rows; None where they would have to be counted first."""

    def named(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row with class numbers replaced by the names that the data set has for them."""
        if not self._names:
            return row
        return {
            key: self._names[key](value) if key in self._names else value
            for key, value in row.items()
        }

    def _named_columns(self, columns: Columns) -> Columns:
        return {
            key: [self._names[key](value) for value in values] if key in self._names else values
            for key, values in columns.items()
        }


class MemoryView(View):
    """Rows of a ``datasets.Dataset``.

    Args:
        data: the source's split.
        locate: where the i-th row of that split stands.
        numbers: the rows chosen, or None for all.
        whole: makes the view of all rows, where ``data`` does not hold them.
    """

    def __init__(
        self,
        data: datasets.Dataset,
        locate: Where,
        numbers: Indices | None = None,
        *,
        whole: Callable[[], View] | None = None,
    ) -> None:
        super().__init__(data, locate)
        self._numbers = numbers
        self._whole = whole
        self._chosen = data if numbers is None else data.select(numbers)

    def chunks(self, columns: Sequence[str]) -> Iterator[tuple[Columns, Where]]:
        """See the base class."""
        data = self.data.select_columns(list(columns)).with_format("arrow")
        for start in range(0, len(self), CHUNK):
            table = self._slice(data, start, min(start + CHUNK, len(self)))
            values = {name: rows_of(table.column(name)) for name in table.column_names}
            yield self._named_columns(values), partial(self._where_from, start)

    def _slice(self, data: datasets.Dataset, start: int, end: int) -> Any:
        """Some of the rows chosen, as an Arrow table."""
        if self._numbers is None:
            return data[start:end]
        numbers = self._numbers[start:end]
        first, last = int(numbers.min()), int(numbers.max())
        if last - first > _DENSE * len(numbers):
            return data[numbers]
        # a slice costs nothing, picking rows out of all the data does
        return data[first : last + 1].take(numbers - first)

    def where(self, number: int) -> str:
        """See the base class."""
        return self.locate(number if self._numbers is None else int(self._numbers[number]))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self.named, self._chosen)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self.named(self._chosen[number])

    def __len__(self) -> int:
        return len(self._chosen)

    @property
    def known_length(self) -> int:
        """See the base class."""
        return len(self)

    def whole(self) -> View:
        """See the base class."""
        return self._whole() if self._whole else MemoryView(self.data, self.locate)

    def divide(
        self, fraction: float, seed: int, label: str | None
    ) -> tuple[MemoryView, MemoryView]:
        """See the base class."""
        every = MemoryView(self.data, self.locate)
        chosen = held_out(len(self.data), fraction, seed, every.classes(label))
        return (
            MemoryView(self.data, self.locate, np.flatnonzero(~chosen)),
            MemoryView(self.data, self.locate, np.flatnonzero(chosen)),
        )

    def limit(self, count: int | None, seed: int) -> MemoryView:
        """A fixed random subset of at most ``count`` rows."""
        if count is None or count >= len(self):
            return self
        places = subset(len(self), count, seed)
        numbers = places if self._numbers is None else self._numbers[places]
        return MemoryView(self.data, self.locate, numbers, whole=self._whole)


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
    ) -> None:
        super().__init__(data, locate)
        self._label = label
        self._parent = parent
        self._chosen = chosen
        self._first = first
        self._count: int | None = None
        self._labels: list[Any] | None = None

    def _placed(self) -> Iterator[NumberedRow]:
        """The rows and their numbers in the source's split."""
        rows: Iterator[NumberedRow] = enumerate(self.data)
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
        part = StreamView(self.data, self.locate, self._label, parent=self, chosen=chosen)
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
        )


def _interned(value: Any) -> Any:
    """Equal texts as one object: few classes are the values of many rows."""
    return sys.intern(value) if type(value) is str else value


def value_of(row: dict[str, Any], column: str, where: Where, number: int) -> Any:
    """The value of a column in the row with that number.

    Raises:
        DataError: the row has no such column.
    """
    if column not in row:
        raise DataError(
            f"{where(number)}: column '{column}' is missing; there are {', '.join(row)}"
        )
    return row[column]


def _label_names(features: Any) -> dict[str, Callable[[Any], Any]]:
    """For columns of ``datasets.ClassLabel`` (or lists of them): class numbers to names."""
    functions: dict[str, Callable[[Any], Any]] = {}
    for column, feature in (features or {}).items():
        inner = getattr(feature, "feature", None)
        if isinstance(feature, datasets.ClassLabel):
            functions[column] = partial(_name, feature)
        elif isinstance(inner, datasets.ClassLabel):
            functions[column] = partial(_names, inner)
    return functions


def _name(label: datasets.ClassLabel, number: Any) -> Any:
    """The class's name; hub data sets mark rows without a class by -1."""
    known = isinstance(number, int) and 0 <= number < label.num_classes
    return label.int2str(number) if known else None


def _names(label: datasets.ClassLabel, numbers: Any) -> Any:
    return None if numbers is None else [_name(label, number) for number in numbers]
