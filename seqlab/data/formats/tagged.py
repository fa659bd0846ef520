"""Tagged text with a sentence a line: word/tag word/tag."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

from seqlab.data.formats.base import Format, Numbered
from seqlab.data.formats.lines import TextLines, rows_by_line
from seqlab.data.splitting import words_of
from seqlab.errors import DataError

_BROWN_MARKS = re.compile(r"(?<=.)-(tl|hl|nc|n)\b.*$")
_PUNCTUATION_TAGS = ("--", "``", "''")


class SlashTagsFormat(Format):
    """A sentence a line, written ``word/tag word/tag``; the last slash counts.

    Args:
        tags: ``full``, or ``base``: the Brown corpus' tags without the marks of headlines,
            titles, cited and foreign words (``-hl -tl -nc fw-``), and for a contraction such
            as ``ppss+ber`` (they're) the tag of its first word.
    """

    def __init__(self, *, tags: Literal["full", "base"] = "full") -> None:
        self._base = tags == "base"

    @staticmethod
    def example() -> bytes:
        """Two sentences."""
        return b"Ada/np sang/vbd ./.\nBob/np left/vbd\n"

    def read(self, stream: BinaryIO, file: str) -> Iterator[Numbered]:
        """A row for each line: ``tokens``, ``tags``."""
        return rows_by_line(TextLines(stream, file), self._row)

    def _row(self, text: str, where: str) -> Any:
        row: dict[str, list[str]] = {"tokens": [], "tags": []}
        for item in words_of(text):
            token, slash, tag = item.rpartition("/")
            if not (token and slash and tag):
                raise DataError(f"{where}: {item!r} is not written word/tag")
            row["tokens"].append(token)
            row["tags"].append(_base_tag(tag) if self._base else tag)
        return row


def _base_tag(tag: str) -> str:
    if len(tag) == 1 or tag in _PUNCTUATION_TAGS:
        return tag
    return _BROWN_MARKS.sub("", tag.removeprefix("fw-").partition("+")[0]) or tag
