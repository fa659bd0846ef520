"""Plain text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

from seqlab.data.formats.base import Format, Numbered
from seqlab.data.formats.lines import TextLines, rows_by_line, stripped_lines


class TextFormat(Format):
    """Plain text: rows with one column, ``text``; blank lines are passed over.

    Predicting answers every line, blank ones too, so that answers and lines go side by side.

    Args:
        by: a row for each ``line``, or for each ``paragraph`` (lines up to a blank one, put
            together with spaces).
    """

    suffixes = (".txt",)

    @staticmethod
    def example() -> bytes:
        """Two rows."""
        return b"a fine film\na dull film\n"

    def __init__(self, *, by: Literal["line", "paragraph"] = "line") -> None:
        self._by = by

    def read(self, stream: BinaryIO, file: str) -> Iterator[Numbered]:
        """A row for each line or paragraph."""
        if self._by == "line":
            return rows_by_line(TextLines(stream, file), lambda text, _: {"text": text})
        return ((line, {"text": text}) for line, text in _paragraphs(stream, file))

    def inputs(self, stream: BinaryIO, file: str) -> Iterator[tuple[int, Any]]:
        """Each line, or each paragraph, as a string."""
        if self._by == "line":
            return rows_by_line(TextLines(stream, file), lambda text, _: text, blank=True)
        return _paragraphs(stream, file)


def _paragraphs(stream: BinaryIO, file: str) -> Iterator[tuple[int, str]]:
    lines: list[str] = []
    number = 0
    for number, text in stripped_lines(stream, file):
        if text:
            lines.append(text.strip())
        elif lines:
            yield number - len(lines), " ".join(lines)
            lines = []
    if lines:
        yield number + 1 - len(lines), " ".join(lines)
