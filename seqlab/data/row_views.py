"""One split of a loaded source: the rows chosen of it, in memory or as a stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import datasets
import numpy as np

from seqlab import progress
from seqlab.data.arrow import rows_of
from seqlab.data.checks import Where
from seqlab.data.order import Indices, held_out, subset
from seqlab.errors import DataError

CHUNK = 4096

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
    """

    def __init__(
        self, data: datasets.Dataset, locate: Where, numbers: Indices | None = None
    ) -> None:
        super().__init__(data, locate)
        self._numbers = numbers
        self._chosen = data if numbers is None else data.select(numbers)

    def chunks(self, columns: Sequence[str]) -> Iterator[tuple[Columns, Where]]:
        """See the base class."""
        start = 0
        tables = self._chosen.select_columns(list(columns)).with_format("arrow")
        for table in tables.iter(CHUNK):
            values = {name: rows_of(table.column(name)) for name in table.column_names}
            yield self._named_columns(values), partial(self._where, start)
            start += CHUNK

    def _where(self, start: int, index: int) -> str:
        place = start + index
        return self.locate(place if self._numbers is None else int(self._numbers[place]))

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

    def whole(self) -> MemoryView:
        """See the base class."""
        return MemoryView(self.data, self.locate)

    def divide(
        self, fraction: float, seed: int, label: str | None
    ) -> tuple[MemoryView, MemoryView]:
        """See the base class."""
        chosen = held_out(len(self.data), fraction, seed, self.whole().classes(label))
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
        return MemoryView(self.data, self.locate, numbers)


class StreamView(View):
    """Rows of a ``datasets.IterableDataset``, read again on each pass.

    Args:
        data: the source's split.
        locate: where the i-th row of that split stands.
        chosen: which rows belong to the view, or None for all.
        first: how many of them to take, or None for all.
    """

    def __init__(
        self,
        data: datasets.IterableDataset,
        locate: Where,
        chosen: np.ndarray | None = None,
        first: int | None = None,
    ) -> None:
        super().__init__(data, locate)
        self._chosen = chosen
        self._first = first
        self._count: int | None = None

    def _placed(self) -> Iterator[NumberedRow]:
        """The rows and their numbers in the source's split."""
        rows: Iterator[NumberedRow] = enumerate(self.data)
        if self._chosen is not None:
            chosen = self._chosen
            rows = ((place, row) for place, row in rows if chosen[place])
        return islice(rows, self._first)

    def chunks(self, columns: Sequence[str]) -> Iterator[tuple[Columns, Where]]:
        """See the base class."""
        rows = self._placed()
        count = 0
        while part := list(islice(rows, CHUNK)):
            places = [place for place, _ in part]
            values = {
                name: [value_of(row, name, self.locate, p) for p, row in part] for name in columns
            }
            count += len(part)
            yield self._named_columns(values), partial(self._where, places)
        self._count = count

    def _where(self, places: Sequence[int], index: int) -> str:
        return self.locate(places[index])

    def where(self, number: int) -> str:
        """Where the row with that number stands."""
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
            count = 0
            with progress.stage("counting") as stage:
                for _ in self._placed():
                    count += 1
                    stage.done = count
            self._count = count
        return self._count

    @property
    def known_length(self) -> int | None:
        """See the base class."""
        return self._count

    def whole(self) -> StreamView:
        """See the base class."""
        return self if self._first is not None else StreamView(self.data, self.locate)

    def divide(
        self, fraction: float, seed: int, label: str | None
    ) -> tuple[StreamView, StreamView]:
        """See the base class; it takes a pass to count the rows, and one to see their classes."""
        chosen = held_out(len(self), fraction, seed, self.classes(label))
        return (
            StreamView(self.data, self.locate, ~chosen),
            StreamView(self.data, self.locate, chosen),
        )

    def limit(self, count: int | None, _seed: int) -> StreamView:
        """The first ``count`` rows: a random subset of a stream would need all of it."""
        return self if count is None else StreamView(self.data, self.locate, self._chosen, count)


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
