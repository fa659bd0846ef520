"""Tables as text: csv, tsv, and the three-header-line tab files of Orange."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress
from typing import Annotated, Any, BinaryIO

from seqlab.data.formats.base import Format, Numbered
from seqlab.data.formats.lines import TextLines, rows_by_line
from seqlab.data.splitting import is_blank
from seqlab.errors import ConfigError, DataError, listed, nearest
from seqlab.schema import Name, Rule, checked

_LARGEST_FIELD = 2**30
#: Bytes of lines that are read together.
_BLOCK = 2**17
_ORANGE_HEADER_LINES = 3
_HEADER_ADVICE = (
    "; line 1 was taken for the header; if it is a row already, name the columns with "
    "{key}={{name: csv, header: [text, label]}}"
)
#: What cells may end with, and the format that reads them.
_WAYS = {
    ";": '{name: csv, delimiter: ";"}', "|": '{name: csv, delimiter: "|"}', "\t": "tsv", ",": "csv",
}  # fmt: skip

Character = Annotated[
    str, Rule(lambda text: len(text) == 1 and text not in "\r\n", "one character")
]
#: The names of all columns.
Header = Annotated[
    Sequence[Name],
    Rule(
        lambda names: 0 < len(names) == len(set(names)), "a list of the columns' names, each once"
    ),
]


class CSVFormat(Format):
    """Comma-separated values; every cell is text, every row as long as the header.

    Spaces around a cell outside its quotes are no part of it, in the header and in rows alike.
    Columns without a name, such as the index that pandas writes, and columns whose name is there
    twice cannot be asked for, and are left out.

    Args:
        delimiter: one character between cells.
        quote: the character around cells that hold a delimiter, or None when there is none.
        header: the columns' names, for a file whose first line is a row already.
        strip: take off spaces around cells.

    Raises:
        ConfigError: an option has a wrong value.
    """

    @checked
    def __init__(
        self,
        *,
        delimiter: Character = ",",
        quote: Character | None = '"',
        header: Header | bool | None = None,
        strip: bool = True,
    ) -> None:
        if delimiter == quote:
            raise ConfigError(f"source.format.delimiter: {delimiter!r} is the quote as well")
        self._delimiter, self._quote = delimiter, quote
        self._header = _given_header(header)
        self._strip = strip

    @staticmethod
    def example() -> bytes:
        """Two rows."""
        return b'text,label\n"a fine, warm film",good\na dull film,bad\n'

    def read(self, stream: BinaryIO, file: str) -> Iterator[Numbered]:
        """A row for each record; a record may go over several lines."""
        names = self._header
        places: list[tuple[int, str]] | None = None if names is None else _places(names)
        for line, cells in self._records(stream, file):
            if isinstance(cells, DataError):
                yield line, cells
            elif names is None or places is None:
                names = cells
                places = _places(names)
            elif len(cells) != len(names):
                problem = _wrong_count(f"{file} line {line}", cells, names)
                yield line, DataError(f"{problem}{self._other_delimiter(names)}")
            elif len(places) == len(names):
                yield line, dict(zip(names, cells, strict=True))
            else:
                yield line, {name: cells[place] for place, name in places}
        if names is None:
            raise DataError(f"{file}: expected a first line with the names of columns, found none")

    def _records(self, stream: BinaryIO, file: str) -> Iterator[tuple[int, Any]]:
        """The cells of each record and the line it begins at, or what is wrong with it."""
        # the limit is the csv module's, for all readers; the default refuses long documents
        csv.field_size_limit(_LARGEST_FIELD)
        size = 1 if stream.isatty() else _BLOCK
        number = 0
        while block := stream.readlines(size):
            end = number + len(block)
            plain = self._plain(b"".join(block), first=number == 0)
            if plain is None:
                lines = TextLines(chain(block, stream), file, number)
                yield from self._careful(lines, end)
                end = lines.number
            else:
                yield from compress(enumerate(plain, number + 1), plain)
            number = end

    def _plain(self, block: bytes, *, first: bool) -> list[list[str]] | None:
        """The cells of lines that are one record each; None where they must be read with care.

        It is several times as fast. A blank line has no cells.
        """
        try:
            text = block.decode().replace("\r\n", "\n")
            if "\r" in text or (self._quote is not None and self._quote in text):
                return None
            lines = (text.removeprefix("\ufeff") if first else text).removesuffix("\n").split("\n")
            records = list(self._reader(lines))
        except (UnicodeDecodeError, csv.Error):
            return None
        if [""] in records:
            records = [[] if cells == [""] else cells for cells in records]
        return list(map(_stripped, records)) if self._must_strip(text) else records

    def _careful(self, lines: TextLines, end: int) -> Iterator[tuple[int, Any]]:
        """The records of lines up to one, or further where a record goes on."""
        records = self._reader(lines)
        while lines.number < end:
            begin = lines.number + 1
            try:
                cells: Any = next(records)
            except StopIteration:
                return
            except DataError as error:
                cells = error
            except csv.Error as error:
                cells = DataError(f"{lines.file} line {begin}: not valid CSV: {error}")
                if "unexpected end" in str(error):  # an open quote has eaten all that follows
                    raise cells from error
            if cells and not (cells == [""] and is_blank(lines.text)):
                bare = lines.number == begin and (self._quote or "\n") not in lines.text[:-1]
                strip = bare and self._must_strip(lines.text) and isinstance(cells, list)
                yield begin, _stripped(cells) if strip else cells

    def _reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        return csv.reader(
            lines,
            delimiter=self._delimiter,
            strict=True,
            skipinitialspace=self._strip and self._delimiter != " ",
            quotechar=self._quote or None,
            quoting=csv.QUOTE_MINIMAL if self._quote else csv.QUOTE_NONE,
        )

    def _must_strip(self, text: str) -> bool:
        """Whether a cell of these lines may end with spaces that are no part of it."""
        ends = (f" {self._delimiter}", " \n", " \r")
        return self._strip and (text.endswith(" ") or any(end in text for end in ends))

    def _other_delimiter(self, names: Sequence[str]) -> str:
        """Advice for a header that is one cell, because its cells end with another character."""
        for mark, way in _WAYS.items():
            if len(names) == 1 and mark in names[0] and mark != self._delimiter:
                return f"; if its cells end with {mark!r}, {self.key}={way} reads it"
        return ""

    def missing(self, stream: BinaryIO, file: str, column: str, *, others: bool) -> str:
        """Whether the header has the column twice, or is none."""
        if self._header is not None:
            return ""
        first = next(self._records(stream, file), None)
        names = first[1] if first else []
        if isinstance(names, DataError):
            return ""
        if names.count(column) > 1:
            return "; the header has it twice"
        if advice := self._other_delimiter(names):
            return advice
        known = others or nearest(column, names)
        return "" if known else _HEADER_ADVICE.format(key=self.key)


class TSVFormat(CSVFormat):
    """Tab-separated values; quotes are plain characters unless ``quote`` names one.

    Args:
        quote: the character around cells that hold a tab.
        header: as for ``csv``.
        strip: as for ``csv``.

    Raises:
        ConfigError: an option has a wrong value.
    """

    def __init__(
        self,
        *,
        quote: str | None = None,
        header: Sequence[str] | bool | None = None,
        strip: bool = True,
    ) -> None:
        super().__init__(delimiter="\t", quote=quote, header=header, strip=strip)

    @staticmethod
    def example() -> bytes:
        """Two rows."""
        return b"text\tlabel\na fine film\tgood\na dull film\tbad\n"


class OrangeTabFormat(Format):
    """Orange's tab files: lines with names, types and roles, then rows; all cells are text."""

    @staticmethod
    def example() -> bytes:
        """Two rows."""
        return b"text\tlabel\nstring\td\nmeta\tclass\na fine film\tgood\na dull film\tbad\n"

    def read(self, stream: BinaryIO, file: str) -> Iterator[Numbered]:
        """A row for each line behind the three of the header."""
        lines = TextLines(stream, file)
        names = next(lines, "").rstrip("\r\n").split("\t")
        places = _places(names)
        for _ in range(_ORANGE_HEADER_LINES - 1):
            next(lines, None)

        def row_of(text: str, where: str) -> Any:
            cells = text.split("\t")
            if len(cells) != len(names):
                raise _wrong_count(where, cells, names)
            return {name: cells[place] for place, name in places}

        return rows_by_line(lines, row_of)


def _given_header(header: Any) -> list[str] | None:
    """The names of a list; None where the first line has them."""
    if header is None or header is True:
        return None
    if header is False:
        raise ConfigError(
            "source.format.header: false says that line 1 is a row already, but not what the "
            "columns are called; give their names, such as header: [text, label]"
        )
    return list(header)


def _places(names: Sequence[str]) -> list[tuple[int, str]]:
    """Where the columns stand that can be asked for: those with a name of their own."""
    return [(place, name) for place, name in enumerate(names) if name and names.count(name) == 1]


def _stripped(cells: list[str]) -> list[str]:
    """Without the spaces that the csv module leaves at the end of cells."""
    return [cell.rstrip(" ") for cell in cells]


def _wrong_count(where: str, cells: Sequence[str], names: Sequence[str]) -> DataError:
    return DataError(
        f"{where}: {_count(len(cells), 'cell')}, but the header has "
        f"{_count(len(names), 'column')} ({listed(names)})"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
