"""What a transform is: rows of one split to other rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from seqlab.data.part import FittedPart
from seqlab.errors import DataError, did_you_mean

#: The name of the split that rows given to ``predict`` form.
PREDICT = "predict"


class RowError(DataError):
    """What is wrong with a row; where it stands is added by who knows it.

    Args:
        row: the row.
        problem: what was found, and what was expected.
    """

    def __init__(self, row: Row, problem: str) -> None:
        super().__init__(problem)
        self.row = row


class Row(Mapping[str, Any]):
    """A row: column to value, and where it is from.

    Args:
        values: column to value.
        number: the row it is made of, counted from 0; of several, the first.
        part: which part of that row, in words; empty for all of it.

    Example:
        >>> row = Row({"text": "a b c", "label": "x"}, 4)
        >>> half = row.made({**row, "text": "a b"}, "words 1-2")
        >>> half["label"], half.number, half.part
        ('x', 4, 'words 1-2')
    """

    __slots__ = ("_values", "number", "part")

    def __init__(self, values: dict[str, Any], number: int, part: str = "") -> None:
        self._values, self.number, self.part = values, number, part

    def __getitem__(self, column: str) -> Any:
        return self._values[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, column: object) -> bool:
        return column in self._values

    def made(self, values: dict[str, Any], part: str = "") -> Row:
        """A row that is made of this one, or of a part of it."""
        return Row(values, self.number, f"{self.part} {part}".strip())

    def error(self, problem: str) -> RowError:
        """The error to raise when this row cannot be used; its place is put before it."""
        return RowError(self, problem)

    def missing(self, column: str) -> RowError:
        """The error to raise when this row lacks a column."""
        return self.error(f"column '{column}' is missing: {did_you_mean(column, self)}")


#: A way to go through rows, as often as needed.
Rows = Callable[[], Iterable[Row]]


class Transform(FittedPart, ABC):
    """Rows to rows: as many, fewer or more, with these or other columns.

    An author writes ``apply``, says in ``reads`` and ``makes`` which columns it looks at and adds,
    and where something is learnt from the training rows writes ``fit``, ``state`` and
    ``restore``. Options are keyword arguments of ``__init__``; their annotations are checked.

    Example:
        >>> class Doubled(Transform):
        ...     reads, makes = ("x",), ("twice",)
        ...     def apply(self, rows, split):
        ...         for row in rows:
        ...             yield row.made({**row, "twice": 2 * row["x"]})
        >>> [dict(row) for row in Doubled().apply([Row({"x": 3}, 0)], "train")]
        [{'x': 3, 'twice': 6}]
    """

    #: Columns that every row must have.
    reads: tuple[str, ...] = ()
    #: Columns that are added, or made anew, and need not be there before.
    makes: tuple[str, ...] = ()
    #: Whether ``apply`` looks at all rows of a split together, so that these cannot be a stream.
    whole: ClassVar[bool] = False

    def needs(self, wanted: Collection[str]) -> Collection[str]:
        """The columns that rows must have so that those made of them have the columns wanted."""
        kept = (column for column in wanted if column not in self.makes)
        return tuple(dict.fromkeys([*kept, *self.reads]))

    def fit(self, rows: Rows) -> None:
        """Learn from the training rows; a transform that learns nothing leaves this out.

        Args:
            rows: gives the rows, as often as wanted, as ``apply`` will get them.

        Raises:
            RowError: a row does not fit, by ``row.error``.
        """

    @abstractmethod
    def apply(self, rows: Iterable[Row], split: str) -> Iterator[Row]:
        """The rows made of the rows of one split, in an order that depends on them alone.

        Args:
            rows: they come once, and one at a time. They may have columns that nobody asked for.
            split: ``train``, ``validation`` or ``test``; ``predict`` for rows without answers.

        Raises:
            RowError: a row does not fit, by ``row.error``.
        """
