"""Plain text."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

from seqlab.data.formats.base import Format, Numbered
from seqlab.data.formats.lines import TextLines, rows_by_line, stripped_lines
from seqlab.errors import DataError


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
        for number, text in self._texts(stream, file, blank=False):
            yield number, text if isinstance(text, DataError) else {"text": text}

    def inputs(self, stream: BinaryIO, file: str) -> Iterator[tuple[int, Any]]:
        """Each line, or each paragraph, as a string."""
        return self._texts(stream, file, blank=True)

    def missing(self, stream: BinaryIO, file: str, column: str, *, others: bool) -> str:
        """Where nobody called the file text: that it is read as such, and how as another format."""
        del stream, file, column, others
        if self.guessed is None:
            return ""
        return (
            "; its ending stands for lines of text; where it holds a table or tagged tokens, "
            f"give {self.guessed}=csv, tsv, conll, ..."
        )

    def _texts(self, stream: BinaryIO, file: str, *, blank: bool) -> Iterator[tuple[int, Any]]:
        """The texts, if the first is not a JSON object that nobody called text.

        Raises:
            DataError: it is one.
        """
        texts: Iterator[tuple[int, Any]] = _paragraphs(stream, file)
        if self._by == "line":
            texts = rows_by_line(TextLines(stream, file), lambda text, _: text, blank=blank)
        for place, (number, text) in enumerate(texts):
            if place == 0 and self.guessed and isinstance(text, str) and _is_object(text):
                raise DataError(
                    f"{file} line {number}: a JSON object, where a line of text was expected; give "
                    f"{self.guessed}=jsonl, or {self.guessed}=text if that is the text"
                )
            yield number, text


def _is_object(text: str) -> bool:
    if text.lstrip().startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            return bool(json.loads(text))
    return False


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
