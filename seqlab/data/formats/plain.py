"""Plain text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from seqlab.data.formats.lines import stripped_lines
from seqlab.errors import ConfigError


def read_text(
    stream: BinaryIO, file: str, *, by: str = "line"
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with one column, ``text``; blank lines are passed over.

    Args:
        stream: the open file.
        file: its name, for errors.
        by: a row for each ``line``, or for each ``paragraph`` (lines up to a blank one, put
            together with spaces).

    Raises:
        ConfigError: ``by`` is neither.
    """
    if by not in ("line", "paragraph"):
        raise ConfigError(f"source.format.by: expected line or paragraph, got {by!r}")
    paragraph: list[str] = []
    number = 0
    for number, text in stripped_lines(stream, file):
        if by == "line" and text:
            yield number, {"text": text}
        elif by == "paragraph" and text:
            paragraph.append(text.strip())
        elif paragraph:
            yield number - len(paragraph), {"text": " ".join(paragraph)}
            paragraph = []
    if paragraph:
        yield number + 1 - len(paragraph), {"text": " ".join(paragraph)}
