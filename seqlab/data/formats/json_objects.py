"""JSON Lines, and JSON files that hold one list."""

from __future__ import annotations

import codecs
import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from seqlab.data.formats.base import Format, Numbered
from seqlab.data.formats.lines import TextLines, rows_by_line
from seqlab.errors import DataError, one_line
from seqlab.files import reading

Check = Callable[[Any, str], Any]
#: Bytes to look for the first row in; a letter that they cut in two is left out.
_BEGINNING = 2**20
_DECODER = codecs.getincrementaldecoder("utf-8")


def _row(value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        found = _NOUNS.get(type(value), "null")
        raise DataError(f"{where}: expected an object with columns as keys, found {found}")
    return value


def _any_value(value: Any, where: str) -> Any:
    del where
    return value


_NOUNS = {str: "text", int: "a number", float: "a number", bool: "true or false", list: "a list",
          dict: "an object"}  # fmt: skip


class JSONLinesFormat(Format):
    """JSON Lines: one JSON object a line, its keys the columns; blank lines are passed over.

    Predicting takes a bare value a line too, such as a string.
    """

    suffixes = (".ndjson",)

    @staticmethod
    def example() -> bytes:
        """Two rows."""
        return b'{"text": "a film", "label": "good"}\n{"text": "dull", "label": "bad"}\n'

    def read(self, stream: BinaryIO, file: str) -> Iterator[Numbered]:
        """A row for each line."""
        return _by_line(TextLines(stream, file), _row, self.key)

    def inputs(self, stream: BinaryIO, file: str) -> Iterator[tuple[int, Any]]:
        """The JSON value of each line."""
        return _by_line(TextLines(stream, file), _any_value, self.key)


def _by_line(lines: TextLines, check: Check, key: str) -> Iterator[tuple[int, Any]]:
    def row_of(text: str, where: str) -> Any:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            several = text.strip() in {"{", "[", "[{"}
            advice = f"; {key}=json reads objects over several lines, as one list"
            said = f"{where}: not JSON: {one_line(error)}{advice if several else ''}"
            raise DataError(said) from error
        return check(value, where)

    return rows_by_line(lines, row_of)


class JSONFormat(Format):
    """A JSON list of objects, numbered from 1; the whole file is read at once.

    A file of JSON Lines with the ending ``.json`` is read as such.
    """

    unit = "row"

    @staticmethod
    def example() -> bytes:
        """Two rows."""
        return b'[{"text": "a film", "label": "good"}, {"text": "dull", "label": "bad"}]'

    def read(self, stream: BinaryIO, file: str) -> Iterator[Numbered]:
        """A row for each object of the list."""
        return _entries(stream, file, _row, self.key)

    def beginning(self, stream: BinaryIO, file: str) -> Iterator[Numbered]:
        """The first entry, if it is an object in the first megabyte."""
        del file
        row = None
        with contextlib.suppress(ValueError, RecursionError):
            text = _DECODER().decode(stream.read(_BEGINNING)).removeprefix("\ufeff").lstrip()
            if text.startswith("["):
                row, _ = json.JSONDecoder().raw_decode(text[1:].lstrip())
        if isinstance(row, dict):
            yield 1, row

    def inputs(self, stream: BinaryIO, file: str) -> Iterator[tuple[int, Any]]:
        """Each entry of the list."""
        return _entries(stream, file, _any_value, self.key)


def _entries(stream: BinaryIO, file: str, check: Check, key: str) -> Iterator[tuple[int, Any]]:
    lines = list(TextLines(stream, file))
    if _is_json_lines(lines):
        again = TextLines((line.encode() for line in lines), file)
        for number, (_, row) in enumerate(_by_line(again, check, key), start=1):
            yield number, row
        return
    with reading(file, DataError, "JSON"):
        rows = json.loads("".join(lines))
    if not isinstance(rows, list):
        found = _NOUNS.get(type(rows), "null")
        lists = [k for k, v in rows.items() if isinstance(v, list)] if found == "an object" else []
        advice = f"if each line is an object give {key}=jsonl"
        if len(lists) == 1:
            advice = f"if the list under {lists[0]!r} is meant, save that alone"
        raise DataError(f"{file}: expected a list of objects, found {found}; {advice}")
    for number, row in enumerate(rows, start=1):
        yield number, _checked(row, f"{file} row {number}", check)


def _checked(row: Any, where: str, check: Check) -> Any:
    try:
        return check(row, where)
    except DataError as error:
        return error


def _is_json_lines(lines: list[str]) -> bool:
    """Whether the first two lines that are not blank are an object each."""
    filled = (line for line in lines if line.strip())
    first = [next(filled, ""), next(filled, "")]
    try:
        return all(isinstance(json.loads(line), dict) for line in first)
    except (ValueError, RecursionError):
        return False


__all__ = ["JSONFormat", "JSONLinesFormat"]
