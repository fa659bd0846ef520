"""What a file format is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, BinaryIO, ClassVar, TypeAlias

from seqlab.errors import DataError

#: A row and the line it begins at; for a row that is not as it should be, the error in its place.
Numbered: TypeAlias = "tuple[int, dict[str, Any] | DataError]"


class Format(ABC):
    """How the bytes of a file become rows. A plugin registers a subclass under the kind ``format``.

    A format is built from plain keyword options, the keys of the config's ``source.format``, and
    keeps no state between files. It is chosen by its registered name, or by a file's ending: the
    name itself (``.csv``), and those of ``suffixes``. The same object reads for training,
    evaluation and prediction.

    Class attributes:
        suffixes: endings beside the name that stand for the format, in lower case with the dot.
        unit: what rows are counted in, for messages: ``line`` or ``row``.
        key: the one that names the format, for messages.
        guessed: the key that can name the format, where only the file's ending did; else None.

    Example:
        >>> import io
        >>> class Records(Format):
        ...     suffixes = (".rec",)
        ...     def read(self, stream, file):
        ...         for line, data in enumerate(stream, start=1):
        ...             text, bar, label = data.decode().strip().partition("|")
        ...             if bar:
        ...                 yield line, {"text": text, "label": label}
        ...             else:
        ...                 yield line, DataError(f"{file} line {line}: no '|' in it")
        >>> list(Records().read(io.BytesIO(b"a b|x"), "a.rec"))
        [(1, {'text': 'a b', 'label': 'x'})]
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    unit: ClassVar[str] = "line"
    key: str = "source.format"
    guessed: str | None = None

    @abstractmethod
    def read(self, stream: BinaryIO, file: str) -> Iterator[Numbered]:
        """The rows of an open file, one by one.

        Args:
            stream: the open file.
            file: what messages call it.

        Yields:
            The line (or row) number, and the row: column to value. A row that is refused is given
            as a ``DataError`` instead, so that reading can go on behind it.

        Raises:
            DataError: the file cannot be read any further.
        """

    def beginning(self, stream: BinaryIO, file: str) -> Iterator[Numbered]:
        """The first rows, for a check of the columns before anything else; by default all rows.

        A format that must read a whole file before it has a row gives none, or those that the
        beginning of the file shows.
        """
        return self.read(stream, file)

    def inputs(self, stream: BinaryIO, file: str) -> Iterator[tuple[int, Any]]:
        """What ``seqlab predict`` answers, one by one; by default the rows.

        A format whose rows need not have columns, such as plain text, gives the bare values.
        """
        return self.read(stream, file)

    @staticmethod
    def example() -> bytes:
        """A small file of some rows, which documentation shows and the conformance kit reads."""
        return b""

    def missing(self, stream: BinaryIO, file: str, column: str, *, others: bool) -> str:
        """What a message adds where a file lacks a column, to say how to mend it; by default ''.

        Args:
            stream: the open file.
            file: what messages call it.
            column: the one that it lacks.
            others: whether it has others that were asked for.
        """
        del stream, file, column, others
        return ""
