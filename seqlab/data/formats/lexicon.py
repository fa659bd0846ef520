"""Pronouncing dictionaries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from seqlab.data.formats.lines import stripped_lines
from seqlab.errors import DataError

_VARIANT = re.compile(r"\(\d+\)$")
_STRESS = str.maketrans("", "", "012")


def read_cmudict(
    stream: BinaryIO, file: str, *, stress: bool = False
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The format of the CMU Pronouncing Dictionary: ``word PH ON EMES``, ``word(2) ...``.

    One row a word, in the file's order: ``word``, ``phonemes`` (its first pronunciation, with
    spaces between) and ``references`` (all its pronunciations, each once).

    Args:
        stream: the open file.
        file: its name, for errors.
        stress: keep the stress digits of the vowels (AH0, AH1, AH2).

    Raises:
        DataError: a word has no pronunciation.
    """
    words: dict[str, tuple[int, list[str]]] = {}
    for line, text in stripped_lines(stream, file):
        entry = text.partition(" #")[0].strip()
        if not entry or entry.startswith(";;;"):
            continue
        word, _, phonemes = entry.partition(" ")
        spoken = " ".join(phonemes.split())
        if not spoken:
            raise DataError(f"{file} line {line}: {word!r} has no pronunciation")
        spoken = spoken if stress else spoken.translate(_STRESS)
        if word.endswith(")"):
            word = _VARIANT.sub("", word)
        _, known = words.setdefault(word, (line, []))
        if spoken not in known:
            known.append(spoken)
    for word, (line, references) in words.items():
        yield line, {"word": word, "phonemes": references[0], "references": references}
