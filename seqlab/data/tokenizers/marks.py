r"""Marks: the entries with the first ids, and how text that looks like one is told from them.

In a vocabulary the four marks are written ``<pad>``, ``<unk>``, ``<bos>`` and ``<eos>``. A text may
hold the same characters, so a vocabulary writes those with a backslash, ``<\eos>``, and with one
more where there are some already: no two texts are written alike, and none like a mark.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tokenizers import Regex, normalizers

PAD, UNK, BOS, EOS = "<pad>", "<unk>", "<bos>", "<eos>"
INPUT_MARKS = (PAD, UNK)
TARGET_MARKS = (PAD, UNK, BOS, EOS)
UNK_ID = 1


class StandIn(NamedTuple):
    """Further characters that a tokenizer keeps for itself.

    Args:
        text: the characters.
        where: a pattern for where they are reserved.
        word: what a vocabulary writes instead, in ``<`` and ``>``.
    """

    text: str
    where: str
    word: str


class Escape:
    r"""Between text and the way a vocabulary writes it.

    >>> escape = Escape()
    >>> escape("<eos>"), escape(r"<\eos>"), escape.undo(r"<\\eos>")
    ('<\\eos>', '<\\\\eos>', '<\\eos>')
    """

    def __init__(self, *stand_ins: StandIn) -> None:
        self._stand_ins = stand_ins
        words = [mark[1:-1] for mark in TARGET_MARKS] + [s.word for s in stand_ins]
        like_a_mark = rf"(?=\\*(?:{'|'.join(words)})>)"
        self._reserved, self._written = f"<{like_a_mark}", rf"<\\{like_a_mark}"

    def __call__(self, text: str) -> str:
        """As a vocabulary writes it."""
        text = re.sub(self._reserved, r"<\\", text)
        for text_, where, word in self._stand_ins:
            text = re.sub(where, f"<{word}>", text) if text_ in text else text
        return text

    def undo(self, written: str) -> str:
        """The text that a vocabulary writes so."""
        for text, _, word in self._stand_ins:
            written = written.replace(f"<{word}>", text)
        return re.sub(self._written, "<", written)

    def steps(self) -> list[normalizers.Normalizer]:
        """The same as ``__call__``, as steps of a Hugging Face tokenizer."""
        steps = [normalizers.Replace(Regex(self._reserved), "<\\")]
        return [
            *steps,
            *(normalizers.Replace(Regex(s.where), f"<{s.word}>") for s in self._stand_ins),
        ]
