"""Lists that a cell of a table holds as text: ``"['a', 'b']"``, ``["a", "b"]``, ``['a' 'b']``."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_ITEMS = re.compile(_QUOTED, re.DOTALL)
#: What Python, JSON and numpy write: quoted entries with commas or white space between them.
_LIST = re.compile(rf"[\[({{]\s*(?:{_QUOTED}(?:\s*,\s*|\s+|(?=[\])}}])))*[\])}}]", re.DOTALL)
_OPENS = re.compile(r"""\[\s*['"\[]|[({]\s*'""")
_PLAIN = re.compile(r"\[[^\[\]]*,[^\[\]]*\]")


def written_list(text: str) -> list[Any] | None:
    r"""The list that a text spells, or None for any other text.

    >>> written_list("['a', 'b c']"), written_list('["d\u00e9j\u00e0"]'), written_list("[1, 2]")
    (['a', 'b c'], ['d\xe9j\xe0'], [1, 2])
    >>> written_list("['a' 'b']"), written_list("[]"), written_list("[CLS] a b [SEP]")
    (['a', 'b'], [], None)

    Raises:
        ValueError: it looks like a list and cannot be read as one.
    """
    stripped = text.strip()
    if not stripped or stripped[0] not in "[({":
        return None
    if stripped[0] == "[":
        try:
            found = json.loads(stripped)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, list):
            return found
    if _LIST.fullmatch(stripped) and (stripped[0] == "[" or _OPENS.match(stripped)):
        return [ast.literal_eval(item) for item in _ITEMS.findall(stripped)]
    if _OPENS.match(stripped) or _PLAIN.fullmatch(stripped):
        raise ValueError("a list that cannot be read")
    return None
