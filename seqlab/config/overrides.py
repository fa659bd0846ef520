"""Short names of keys on the command line.

``cell.hidden_size=256`` means ``encoder.cell.hidden_size=256``; ``wrappers=[...]`` and
``embedding.size=32`` are short in the same way, with Hydra's prefixes ``+ ++ ~`` kept. Config
groups (``cell=gru``, ``wrapper=stacked``) are no keys and stay as they are. ``start=DIR`` means
``start.bundle=DIR``. A plain value with
letters beyond ASCII, which Hydra takes in quotes only, gets them.
"""

from __future__ import annotations

import re

_SHORT = re.compile(r"^(?P<prefix>\+\+|\+|~|)(?P<key>cell\.|wrappers(?=[.=\[]|$)|embedding\.)")
_BUNDLE = re.compile(r"^(\+\+|\+|)start=(?!{)")
#: A value without anything that means something to Hydra.
_PLAIN = re.compile(r"[^\s,'\"(){}\[\]=\\][^,'\"(){}\[\]=\\]*")


def expand(word: str) -> str:
    """A command-line word with its short key written out, and quotes where Hydra needs them.

    >>> expand("++cell.zoneout=0.1"), expand("cell=gru"), expand("-m")
    ('++encoder.cell.zoneout=0.1', 'cell=gru', '-m')
    >>> expand("input=café.csv")
    "input='café.csv'"
    """
    word = _BUNDLE.sub(r"\1start.bundle=", word)
    key, equals, value = _SHORT.sub(r"\g<prefix>encoder.\g<key>", word).partition("=")
    if not value.isascii() and _PLAIN.fullmatch(value):
        value = f"'{value}'"
    return f"{key}{equals}{value}"


def is_short(word: str) -> bool:
    """Whether ``expand`` changes the word."""
    return _SHORT.match(word) is not None or _BUNDLE.match(word) is not None


def quoted(text: str) -> str:
    """A text in Hydra's quotes, in which a backslash is one unless a quote follows.

    >>> print(quoted("a, b"))
    'a, b'
    """
    inner = re.sub(r"(\\*)'", r"\1\1\'", text)
    behind = inner[len(inner.rstrip("\\")) :]
    return f"'{inner}{behind}'"
