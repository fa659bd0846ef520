"""JSON Lines, and JSON files that hold one list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from seqlab.data.formats.lines import stripped_lines
from seqlab.errors import DataError

_NOUNS = {
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    type(None): "null",
}


def read_jsonl(stream: BinaryIO, file: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """One JSON object a line, all with the same keys and the same types.

    Raises:
        DataError: a line is not a JSON object, lacks a key, has another one, or holds another
            type than the lines before it.
    """
    types = _Types(file)
    for line, text in stripped_lines(stream, file):
        if not text:
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file} line {line}: not JSON: {error}") from error
        types.check(row, f"{file} line {line}")
        yield line, row


def read_json(stream: BinaryIO, file: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """A JSON list of objects; rows are numbered by their place in the list.

    Raises:
        DataError: not UTF-8, not a list of objects, or the objects differ in keys or types.
    """
    text = "\n".join(text for _, text in stripped_lines(stream, file))
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: not JSON: {error}") from error
    if not isinstance(rows, list):
        raise DataError(f"{file}: expected a list of objects, found {_noun(rows)}")
    types = _Types(file)
    for number, row in enumerate(rows, start=1):
        types.check(row, f"{file} row {number}")
        yield number, row


class _Types:
    """Remembers each column's type from the rows seen so far."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._seen: dict[str, str] | None = None

    def check(self, row: Any, where: str) -> None:
        if not isinstance(row, dict):
            raise DataError(f"{where}: expected an object with columns as keys, found {_noun(row)}")
        if self._seen is None:
            self._seen = dict.fromkeys(row, "null")
        for column in self._seen.keys() ^ row.keys():
            problem = "is missing" if column in self._seen else "is in no row before"
            known = ", ".join(self._seen)
            raise DataError(f"{where}: column '{column}' {problem}; the first row has {known}")
        for column, value in row.items():
            noun = _noun(value, f"{where}: column '{column}'")
            known = self._seen[column]
            joined = _join(known, noun)
            if joined is None:
                raise DataError(
                    f"{where}: column '{column}' holds {noun}, the rows before hold {known}; "
                    "give every row the same type"
                )
            self._seen[column] = joined


def _noun(value: Any, where: str = "") -> str:
    """What a value is, in words that are the same for values of the same type."""
    if not isinstance(value, list):
        return _NOUNS[type(value)]
    kinds = set(map(type, value))
    if kinds <= {int, float}:
        return "a list of numbers" if kinds else "a list"
    if len(kinds) == 1 and list not in kinds:
        return f"a list of {_NOUNS[kinds.pop()].removeprefix('a ').removeprefix('an ')}"
    nouns = {_noun(entry, where) for entry in value}
    joined = "a list" if "a list" in nouns else min(nouns)
    for noun in nouns:
        merged = _join(joined, noun)
        if merged is None:
            raise DataError(f"{where}: a list of mixed types, {' and '.join(sorted(nouns))}")
        joined = merged
    return f"a list of ({joined})"


def _join(first: str, second: str) -> str | None:
    """The common type: null joins everything, an empty list every list."""
    if second in (first, "null"):
        return first
    if first == "null":
        return second
    if first == "a list" and second.startswith("a list"):
        return second
    if second == "a list" and first.startswith("a list"):
        return first
    return None
