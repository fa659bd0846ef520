"""CoNLL-U, the format of Universal Dependencies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Literal

from seqlab.data.formats.base import Format, Numbered
from seqlab.data.formats.lines import stripped_lines
from seqlab.errors import DataError

_COLUMNS = 10
#: What a sentence's row holds of its words, and in which columns of the file.
_PLACES = {"tokens": 1, "lemmas": 2, "upos": 3, "xpos": 4, "feats": 5}


class CoNLLUFormat(Format):
    """CoNLL-U (Universal Dependencies): words and what is known of each.

    A row has ``tokens``, ``lemmas``, ``upos``, ``xpos`` and ``feats`` (the whole cell, such as
    ``Gender=Fem|Number=Sing``; ``_`` for none), lists of one length, and ``tags``, one of them.

    Multiword ranges (``9-10``) and empty nodes (``8.1``) are left out. ``document`` is the
    last ``newdoc id``, or ``sent_id`` up to its last hyphen.

    Args:
        tags: which of them stand in ``tags``.
    """

    def __init__(self, *, tags: Literal["upos", "xpos", "feats", "lemmas"] = "upos") -> None:
        self._tags = tags

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
        """A row for each sentence."""
        sentence = _Sentence(self._tags)
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

    def __init__(self, tags: str) -> None:
        self._tags = tags
        self._document: str | None = None
        self._identity = ""
        self._line = 0
        self._problem: DataError | None = None
        self._words: dict[str, list[str]] = {name: [] for name in _PLACES}

    def comment(self, text: str) -> None:
        key, _, value = text.lstrip("# ").partition("=")
        if key.strip() == "newdoc id":
            self._document = value.strip()
        elif key.strip() == "sent_id":
            self._identity = value.strip()

    @property
    def begun(self) -> bool:
        """Whether there is anything to give."""
        return bool(self._words["tokens"]) or self._problem is not None

    def word(self, cells: list[str], line: int, file: str) -> None:
        self._line = self._line if self.begun else line
        if len(cells) != _COLUMNS:
            self._problem = self._problem or DataError(
                f"{file} line {line}: {len(cells)} columns, CoNLL-U has {_COLUMNS} "
                "with tabs between them"
            )
        elif cells[0].isdigit():
            empty = [n for n in ("tokens", self._tags) if not cells[_PLACES[n]]]
            if empty:
                name = "tokens" if empty[0] == "tokens" else "tags"
                self._problem = self._problem or DataError(
                    f"{file} line {line}: the column '{name}' is empty"
                )
            self._line = self._line if self._words["tokens"] else line
            for name, place in _PLACES.items():
                self._words[name].append(cells[place] or "_")

    def finish(self) -> Numbered:
        document = self._document or self._identity.rpartition("-")[0]
        row = {**self._words, "tags": self._words[self._tags], "document": document}
        line, problem = self._line, self._problem
        self._words = {name: [] for name in _PLACES}
        self._identity, self._problem = "", None
        return line, problem or row
