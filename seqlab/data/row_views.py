"""One split of a loaded source: the rows chosen of it; those in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import datasets
import numpy as np

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
