"""JSON Lines, and JSON files that hold one list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from seqlab.data.formats.lines import stripped_lines
from seqlab.errors import DataError

_NOUNS: dict[type, str | None] = {
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    type(None): None,
}
_PLURALS = {"a number": "numbers", "true or false": "truth values", "an object": "objects"}


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
        raise DataError(f"{file}: expected a list of objects, found {_describe(_kind(rows))}")
    types = _Types(file)
    for number, row in enumerate(rows, start=1):
        types.check(row, f"{file} row {number}")
        yield number, row


#: How deep lists are nested, and what is inside them; None where nothing tells.
Kind = tuple[int, str | None]
_UNKNOWN: Kind = (0, None)


class _Types:
    """Remembers each column's type from the rows seen so far."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._seen: dict[str, Kind] | None = None

    def check(self, row: Any, where: str) -> None:
        if not isinstance(row, dict):
            found = _describe(_kind(row))
            raise DataError(f"{where}: expected an object with columns as keys, found {found}")
        if self._seen is None:
            self._seen = dict.fromkeys(row, _UNKNOWN)
        for column in self._seen.keys() ^ row.keys():
            problem = "is missing" if column in self._seen else "is in no row before"
            known = ", ".join(self._seen)
            raise DataError(f"{where}: column '{column}' {problem}; the first row has {known}")
        for column, value in row.items():
            kind = _kind(value)
            if kind is None:
                raise DataError(f"{where}: column '{column}' holds a list of mixed types")
            seen = self._seen[column]
            joined = _join(seen, kind)
            if joined is None:
                raise DataError(
                    f"{where}: column '{column}' holds {_describe(kind)}, the rows before hold "
                    f"{_describe(seen)}; give every row the same type"
                )
            self._seen[column] = joined


def _kind(value: Any) -> Kind | None:
    """What a value is, or None for a list of mixed types."""
    if not isinstance(value, list):
        return 0, _NOUNS[type(value)]
    types = set(map(type, value))
    if list not in types:
        nouns = [noun for noun in {_NOUNS[kind] for kind in types} if noun]
        return (1, nouns[0] if nouns else None) if len(nouns) < 2 else None
    joined: Kind | None = _UNKNOWN
    for entry in value:
        kind = _kind(entry)
        joined = None if kind is None or joined is None else _join(joined, kind)
    return None if joined is None else (joined[0] + 1, joined[1])


def _join(first: Kind, second: Kind) -> Kind | None:
    """The common type: null and empty lists join whatever is nested at least as deep."""
    (depth, noun), (other_depth, other_noun) = first, second
    if noun is None and depth <= other_depth:
        return second
    if other_noun is None and other_depth <= depth:
        return first
    return first if first == second else None


def _describe(kind: Kind | None) -> str:
    """A kind in words."""
    if kind is None:
        return "a list of mixed types"
    depth, noun = kind
    if depth == 0:
        return noun or "null"
    inner = f" of {_PLURALS.get(noun, noun)}" if noun else ""
    return "a list" + " of lists" * (depth - 1) + inner
