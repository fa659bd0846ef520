"""One type a column: values are looked at in chunks, and a row that does not fit is told why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

_NOUNS: dict[type, str | None] = {
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    type(None): None,
}
_PLURALS = {"a number": "numbers", "true or false": "truth values", "an object": "objects"}
#: How deep lists are nested, and what is inside them; None where nothing tells.
NestedType = tuple[int, str | None]
_UNKNOWN: NestedType = (0, None)
_MIXED = "a list of mixed types"
_LARGEST = 2**63


class ColumnTypes:
    """Remembers each column's type from the rows seen so far.

    >>> types = ColumnTypes()
    >>> types.take({"x": [1, None, 2.5]}), types.take({"x": [3, "a"]})
    (True, False)
    >>> types.problem({"x": "a"})
    "column 'x' holds text, the rows before hold a number; give every row the same type"
    """

    def __init__(self) -> None:
        self._seen: dict[str, NestedType] = {}

    def take(self, columns: Mapping[str, Sequence[Any]]) -> bool:
        """Whether all these rows fit, at once; if not, nothing is remembered of them."""
        found: dict[str, NestedType] = {}
        for name, values in columns.items():
            kind = _kind_of_all(values)
            joined = None if kind is None else _join(self._seen.get(name, _UNKNOWN), kind)
            if joined is None:
                return False
            found[name] = joined
        self._seen.update(found)
        return True

    def problem(self, row: Mapping[str, Any]) -> str:
        """Why a row does not fit, or '' and it is remembered."""
        if self.take({name: [value] for name, value in row.items()}):
            return ""
        for name, value in row.items():
            kind = _kind(value)
            seen = self._seen.get(name, _UNKNOWN)
            if kind is None:
                return f"column '{name}' holds {_MIXED}"
            if _join(seen, kind) is None:
                return (
                    f"column '{name}' holds {_describe(kind)}, the rows before hold "
                    f"{_describe(seen)}; give every row the same type"
                )
            if not _storable([value]):
                return f"column '{name}' holds {_unstorable(value)}"
        return "its columns have no common type"


def _kind_of_all(values: Sequence[Any]) -> NestedType | None:
    """The common kind of a column's values, or None."""
    if set(map(type, values)) == {str}:
        return (0, "text") if _valid(values) else None
    joined: NestedType | None = _UNKNOWN
    for kind in set(map(_kind, values)):
        joined = None if kind is None or joined is None else _join(joined, kind)
    return joined if joined is None or _storable(values) else None


def _storable(values: Iterable[Any]) -> bool:
    """Whether all text is valid Unicode and all whole numbers have at most 64 bits."""
    flat = list(_leaves(values))
    if not _valid(value for value in flat if isinstance(value, str)):
        return False
    numbers = [value for value in flat if isinstance(value, int)]
    return not numbers or -_LARGEST <= min(numbers) <= max(numbers) < _LARGEST


def _valid(texts: Iterable[str]) -> bool:
    """Whether no half of a surrogate pair is in them."""
    joined = "".join(texts)
    try:
        return joined.isascii() or bool(joined.encode())
    except UnicodeEncodeError:
        return False


def _leaves(values: Iterable[Any]) -> Iterable[Any]:
    """What is inside lists and objects, however deep."""
    flat = list(values)
    while nested := [value for value in flat if isinstance(value, (list, dict))]:
        flat = [value for value in flat if not isinstance(value, (list, dict))]
        inner = (v.values() if isinstance(v, dict) else v for v in nested)
        flat += chain.from_iterable(inner)
    return flat


def _unstorable(value: Any) -> str:
    text = any(isinstance(leaf, str) and not _storable([leaf]) for leaf in _leaves([value]))
    return (
        "text that is not valid Unicode (half of a surrogate pair)"
        if text
        else "a whole number of more than 64 bits"
    )


def _kind(value: Any) -> NestedType | None:
    """What a value is, or None for a list of mixed types."""
    if not isinstance(value, list):
        return 0, _noun(type(value))
    types = set(map(type, value))
    if list not in types:
        nouns = {noun for noun in map(_noun, types) if noun}
        return (1, nouns.pop() if nouns else None) if len(nouns) < 2 else None
    joined: NestedType | None = _UNKNOWN
    for entry in value:
        kind = _kind(entry)
        joined = None if kind is None or joined is None else _join(joined, kind)
    return None if joined is None else (joined[0] + 1, joined[1])


def _noun(kind: type) -> str | None:
    return _NOUNS.get(kind, kind.__name__)


def _join(first: NestedType, second: NestedType) -> NestedType | None:
    """The common type: null and empty lists join whatever is nested at least as deep."""
    (depth, noun), (other_depth, other_noun) = first, second
    if noun is None and depth <= other_depth:
        return second
    if other_noun is None and other_depth <= depth:
        return first
    return first if first == second else None


def _describe(kind: NestedType | None) -> str:
    """A kind in words."""
    if kind is None:
        return _MIXED
    depth, noun = kind
    if depth == 0:
        return noun or "null"
    inner = f" of {_PLURALS.get(noun, noun)}" if noun else ""
    return "a list" + " of lists" * (depth - 1) + inner
