"""Tables as text: csv, tsv, and the three-header-line tab files of Orange."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from seqlab.data.formats.lines import decoded_lines, stripped_lines
from seqlab.errors import DataError

_LARGEST_FIELD = 2**30
_ORANGE_HEADER_LINES = 3


def read_csv(
    stream: BinaryIO,
    file: str,
    *,
    delimiter: str = ",",
    quote: str | None = '"',
    header: Sequence[str] | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Comma-separated values; every cell is text, every row as long as the header.

    Args:
        stream: the open file.
        file: its name, for errors.
        delimiter: one character between cells.
        quote: the character around cells that hold a delimiter, or None when there is none.
        header: the columns' names, for a file whose first line is a row already.

    Raises:
        DataError: a row has more or fewer cells than the header, a quote stays open, or a
            column's name is empty or there twice.
    """
    # the limit is the csv module's, for all readers; the default refuses long documents
    csv.field_size_limit(_LARGEST_FIELD)
    quoting: dict[str, Any] = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    rows = csv.reader(decoded_lines(stream, file), delimiter=delimiter, strict=True, **quoting)
    names = None if header is None else list(header)
    begin = 1
    try:
        for cells in rows:
            line, begin = begin, rows.line_num + 1
            if not cells:
                continue
            if names is None:
                names = _checked_names(cells, file)
            elif len(cells) != len(names):
                raise DataError(
                    f"{file} line {line}: {_count(len(cells), 'cell')}, but the header has "
                    f"{_count(len(names), 'column')} ({', '.join(names)})"
                )
            else:
                yield line, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"{file} line {begin}: not valid CSV: {error}") from error


def read_tsv(
    stream: BinaryIO, file: str, *, quote: str | None = None, header: Sequence[str] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Tab-separated values; quotes are plain characters unless ``quote`` names one."""
    return read_csv(stream, file, delimiter="\t", quote=quote, header=header)


def read_tab(stream: BinaryIO, file: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Orange's tab files: lines with names, types and roles, then rows; all cells are text.

    Raises:
        DataError: a row has more or fewer cells than there are names.
    """
    names: list[str] | None = None
    for line, text in stripped_lines(stream, file):
        if names is None:
            names = _checked_names(text.split("\t"), file)
        elif line > _ORANGE_HEADER_LINES and text:
            cells = text.split("\t")
            if len(cells) != len(names):
                raise DataError(
                    f"{file} line {line}: {_count(len(cells), 'cell')}, but the header has "
                    f"{_count(len(names), 'column')} ({', '.join(names)})"
                )
            yield line, dict(zip(names, cells, strict=True))


def _checked_names(cells: Sequence[str], file: str) -> list[str]:
    names = [cell.strip() for cell in cells]
    for name in names:
        if not name or names.count(name) > 1:
            problem = f"the column '{name}' is there twice" if name else "a column has no name"
            raise DataError(
                f"{file} line 1: {problem} in the header ({', '.join(names)}); for a file "
                "without one give the format's option 'header'"
            )
    return names


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
