"""Short names of keys on the command line.

``cell.hidden_size=256`` means ``encoder.cell.hidden_size=256``; ``wrappers=[...]`` and
``embedding.size=32`` are short in the same way, with Hydra's prefixes ``+ ++ ~`` kept. Config
groups (``cell=gru``, ``wrapper=stacked``) are no keys and stay as they are.
"""

from __future__ import annotations

import re

_SHORT = re.compile(r"^(?P<prefix>\+\+|\+|~|)(?P<key>cell\.|wrappers(?=[.=\[]|$)|embedding\.)")


def expand(word: str) -> str:
    """A command-line word with its short key written out.

    >>> expand("++cell.zoneout=0.1"), expand("cell=gru"), expand("-m")
    ('++encoder.cell.zoneout=0.1', 'cell=gru', '-m')
    """
    return _SHORT.sub(r"\g<prefix>encoder.\g<key>", word)


def is_short(word: str) -> bool:
    """Whether ``expand`` changes the word."""
    return _SHORT.match(word) is not None
