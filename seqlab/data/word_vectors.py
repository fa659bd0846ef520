"""Word vectors from text files, as GloVe and word2vec write them: a word and its numbers a line."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from seqlab import progress
from seqlab.data.formats.lines import TextLines
from seqlab.errors import DataError, shortened
from seqlab.files import reading

#: A vector of more numbers is no vector of words.
_MOST = 100_000


class WordVectors(NamedTuple):
    """What a file has of the words asked for.

    ``found`` has a vector ``[D]`` a word, ``size`` is D and ``words`` counts those of the file.
    """

    found: dict[str, npt.NDArray[np.float32]]
    size: int
    words: int


def vector_size(path: str) -> int:
    """D, from the first lines of a file.

    Raises:
        DataError: as ``read_vectors``.
    """
    with _lines(path) as lines:
        return _first(lines)[0]


def read_vectors(path: str, wanted: Collection[str]) -> WordVectors:
    """The vectors of some words.

    A first line of two whole numbers, words and D, as word2vec writes it, is passed over. A word
    may hold spaces: its numbers are the last D of the line. Of a word that is there twice the first
    vector counts. The file is read as text, line by line; ``.gz`` is unpacked on the way.

    Args:
        path: the file.
        wanted: the words whose vectors are kept.

    Raises:
        DataError: the file is not there or not text, or a line is no word with D finite numbers;
            the line is named.
    """
    found: dict[str, npt.NDArray[np.float32]] = {}
    words = 0
    with _lines(path) as lines, progress.stage("word vectors", unit="words") as stage:
        size, first = _first(lines)
        for line in chain([first], lines):
            word, numbers = _parts(line, size, lines)
            if word in wanted and word not in found:
                found[word] = _vector(numbers, size, line, lines)
            words += 1
            stage.advance()
    return WordVectors(found, size, words)


def read_words(path: str) -> Iterator[str]:
    """The words of a file, in its order; its numbers are left unread.

    Raises:
        DataError: as ``read_vectors``, but for numbers that are none.
    """
    with _lines(path) as lines, progress.stage("words of the vectors", unit="words") as stage:
        size, first = _first(lines)
        for line in chain([first], lines):
            yield _parts(line, size, lines)[0]
            stage.advance()


def _parts(line: str, size: int, lines: TextLines) -> tuple[str, list[str]]:
    """The word of a line, and what must be its numbers."""
    word, *numbers = line.rstrip(" \r\n").rsplit(" ", size)
    if len(numbers) != size:
        raise _refused(lines, line, size)
    return word, numbers


@contextmanager
def _lines(path: str) -> Iterator[TextLines]:
    file = Path(path).expanduser()
    with reading(path, DataError, "a text file of word vectors"):
        try:
            with file.open("rb") as raw:
                packed = file.suffix == ".gz"
                stream = cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if packed else raw
                yield TextLines(stream, path)
        except (zlib.error, EOFError, gzip.BadGzipFile) as error:
            raise DataError(f"{path}: is no whole gzip file ({error})") from error


def _first(lines: TextLines) -> tuple[int, str]:
    """D, and the first line with a word."""
    line = next(lines, None)
    if line is not None and _is_head(line):
        line = next(lines, None)
    if line is None:
        raise DataError(f"{lines.file}: has no word vectors: the file is empty")
    size = len(line.split()) - 1
    while size > 0 and not _is_number(line.rsplit(maxsplit=size)[1]):
        size -= 1
    if not 0 < size <= _MOST:
        raise _refused(lines, line, None)
    return size, line


def _is_head(line: str) -> bool:
    parts = line.split()
    return len(parts) == 2 and all(part.isascii() and part.isdigit() for part in parts)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _vector(numbers: list[str], size: int, line: str, lines: TextLines) -> npt.NDArray[np.float32]:
    try:
        vector = np.array(numbers, dtype=np.float32)
    except ValueError:
        vector = np.zeros(0, dtype=np.float32)
    if vector.shape != (size,) or not np.isfinite(vector).all():
        raise _refused(lines, line, size)
    return vector


def _refused(lines: TextLines, line: str, size: int | None) -> DataError:
    count = "its" if size is None else f"{size} finite"
    return DataError(
        f"{lines.file} line {lines.number}: expected a word and {count} numbers with a space "
        f"between them, found {shortened(repr(line.rstrip()), 60)}"
    )
