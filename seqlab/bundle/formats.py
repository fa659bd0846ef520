"""The format number of bundles, and reading those of earlier formats.

The number stands in ``manifest.json`` and changes when a seqlab that knows only the number before
could not read a bundle. What was written once is read for ever: each earlier number has a
function here that makes the contents of its files those of the next, and a bundle in
``tests/bundle/frozen``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

#: The format that is written.
FORMAT = 2


class Contents(NamedTuple):
    """What ``manifest.json`` and ``config.json`` hold."""

    manifest: dict[str, Any]
    config: dict[str, Any]


def _weights_named(contents: Contents) -> Contents:
    """Format 2 says what kind the weights are of; before there was one."""
    contents.config["weights"] = "float"
    return contents


#: For each earlier format, what makes contents of the next one of its own.
MIGRATIONS: Mapping[int, Callable[[Contents], Contents]] = {1: _weights_named}


def is_readable(form: Any) -> bool:
    """Whether bundles of a format can be read: this one, or one with a way to it."""
    return type(form) is int and (form == FORMAT or form in MIGRATIONS)


def readable_formats() -> str:
    """The formats that can be read, in words.

    >>> readable_formats()
    'formats 1 and 2'
    """
    *others, last = (str(form) for form in sorted({*MIGRATIONS, FORMAT}))
    return f"formats {', '.join(others)} and {last}" if others else f"format {last}"


def migrated(contents: Contents) -> Contents:
    """Contents of a readable format as those of this one."""
    for form in range(contents.manifest["format"], FORMAT):
        contents = MIGRATIONS[form](contents)
        contents.manifest["format"] = form + 1
    return contents
