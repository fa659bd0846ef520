"""Pronouncing dictionaries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from seqlab.data.formats.base import Format, Numbered
from seqlab.data.formats.lines import stripped_lines
from seqlab.data.splitting import SPACES, words_of
from seqlab.errors import DataError

_VARIANT = re.compile(r"\(\d+\)$")
_STRESS = str.maketrans("", "", "012")


class CMUDictFormat(Format):
    """The format of the CMU Pronouncing Dictionary: ``word PH ON EMES``, ``word(2) ...``.

    One row a word, in the file's order: ``word``, ``phonemes`` (its first pronunciation, with
    spaces between) and ``references`` (all its pronunciations, each once).

    Args:
        stress: keep the stress digits of the vowels (AH0, AH1, AH2).
    """

    suffixes = (".dict",)

    def __init__(self, *, stress: bool = False) -> None:
        self._stress = stress

    @staticmethod
    def example() -> bytes:
        """Two words, one with two pronunciations."""
        return b";;; words\na AH0\na(2) EY1\nto T UW1\n"

    def read(self, stream: BinaryIO, file: str) -> Iterator[Numbered]:
        """A row for each word; a line without pronunciation is refused."""
        words: dict[str, tuple[int, list[str]]] = {}
        for line, text in stripped_lines(stream, file):
            entry = text.partition(" #")[0].strip(SPACES)
            if not entry or entry.startswith(";;;"):
                continue
            word, _, phonemes = entry.partition(" ")
            spoken = " ".join(words_of(phonemes))
            if not spoken:
                yield line, DataError(f"{file} line {line}: {word!r} has no pronunciation")
                continue
            spoken = spoken if self._stress else spoken.translate(_STRESS)
            if word.endswith(")"):
                word = _VARIANT.sub("", word)
            _, known = words.setdefault(word, (line, []))
            if spoken not in known:
                known.append(spoken)
        for word, (line, references) in words.items():
            yield line, {"word": word, "phonemes": references[0], "references": references}

    def beginning(self, stream: BinaryIO, file: str) -> Iterator[Numbered]:
        """None: a word's other pronunciations may stand anywhere."""
        del stream, file
        return iter(())
