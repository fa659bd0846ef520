"""CoNLL-U, the format of Universal Dependencies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Literal

from seqlab.data.formats.base import Format, Numbered
from seqlab.data.formats.lines import stripped_lines
from seqlab.errors import DataError

_COLUMNS = 10
_TAGS = {"upos": 3, "xpos": 4}


class CoNLLUFormat(Format):
    """CoNLL-U (Universal Dependencies): words and their part of speech.

    Multiword ranges (``9-10``) and empty nodes (``8.1``) are left out. ``document`` is the
    last ``newdoc id``, or ``sent_id`` up to its last hyphen.

    Args:
        tags: ``upos`` or ``xpos``.
    """

    def __init__(self, *, tags: Literal["upos", "xpos"] = "upos") -> None:
        self._tag_column = _TAGS[tags]

    @staticmethod
    def example() -> bytes:
        """Two sentences."""
        return (
            b"# sent_id = a-1\n"
            b"1\tAda\tAda\tPROPN\tNNP\t_\t0\troot\t_\t_\n\n"
            b"# sent_id = a-2\n"
            b"1\tBob\tBob\tPROPN\tNNP\t_\t2\tnsubj\t_\t_\n"
            b"2\tsang\tsing\tVERB\tVBD\t_\t0\troot\t_\t_\n"
        )

    def read(self, stream: BinaryIO, file: str) -> Iterator[Numbered]:
        """A row for each sentence: ``tokens``, ``tags``, ``document``."""
        sentence = _Sentence(self._tag_column)
        for line, text in stripped_lines(stream, file):
            if text.startswith("#"):
                sentence.comment(text)
            elif text:
                sentence.word(text.split("\t"), line, file)
            elif sentence.begun:
                yield sentence.finish()
        if sentence.begun:
            yield sentence.finish()


class _Sentence:
    """Collects the lines of one CoNLL-U sentence."""

    def __init__(self, tag_column: int) -> None:
        self._tag_column = tag_column
        self._document: str | None = None
        self._identity = ""
        self._line = 0
        self._problem: DataError | None = None
        self.tokens: list[str] = []
        self.tags: list[str] = []

    def comment(self, text: str) -> None:
        key, _, value = text.lstrip("# ").partition("=")
        if key.strip() == "newdoc id":
            self._document = value.strip()
        elif key.strip() == "sent_id":
            self._identity = value.strip()

    @property
    def begun(self) -> bool:
        """Whether there is anything to give."""
        return bool(self.tokens) or self._problem is not None

    def word(self, cells: list[str], line: int, file: str) -> None:
        self._line = self._line if self.begun else line
        if len(cells) != _COLUMNS:
            self._problem = self._problem or DataError(
                f"{file} line {line}: {len(cells)} columns, CoNLL-U has {_COLUMNS} "
                "with tabs between them"
            )
        elif cells[0].isdigit():
            if not (cells[1] and cells[self._tag_column]):
                name = "tags" if cells[1] else "tokens"
                self._problem = self._problem or DataError(
                    f"{file} line {line}: the column '{name}' is empty"
                )
            self._line = self._line if self.tokens else line
            self.tokens.append(cells[1])
            self.tags.append(cells[self._tag_column])

    def finish(self) -> Numbered:
        document = self._document or self._identity.rpartition("-")[0]
        row = {"tokens": self.tokens, "tags": self.tags, "document": document}
        line, problem = self._line, self._problem
        self.tokens, self.tags, self._identity, self._problem = [], [], "", None
        return line, problem or row
