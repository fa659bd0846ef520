"""Named members of zip and tar archives, read into memory; nothing is ever unpacked to disk."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from seqlab import DataError
from seqlab.files import reading

#: The most bytes that the members asked for may have together.
MAX_BYTES = 2 * 2**30


def read_members(archive: Path, patterns: Sequence[str], label: str) -> dict[str, bytes]:
    """The members whose names match, sorted by name.

    A pattern is a path in the archive, with or without its first folder (a source
    distribution's ``name-version/``, npm's ``package/``); ``*``, ``?`` and ``[ab]`` stand for
    other characters.

    Args:
        archive: a wheel, zip or tar file.
        patterns: which members.
        label: what errors call the archive.

    Raises:
        DataError: not an archive, a pattern matches nothing, or there is too much to read.
    """
    with reading(label, DataError, "a readable zip or tar archive"):
        opener = _zip_members if zipfile.is_zipfile(archive) else _tar_members
        found = dict(opener(archive, patterns, label))
    for pattern in patterns:
        if not any(matches(name, pattern) for name in found):
            raise DataError(f"{label}: no file '{pattern}' in it")
    return dict(sorted(found.items()))


def matches(name: str, pattern: str) -> bool:
    """Whether a member's path, with or without its first folder, fits a pattern."""
    return fnmatchcase(name, pattern) or fnmatchcase(name.partition("/")[2], pattern)


def _wanted(name: str, patterns: Sequence[str]) -> bool:
    return any(matches(name, pattern) for pattern in patterns)


def _bounded(size: int, total: int, label: str) -> int:
    if total + size > MAX_BYTES:
        raise DataError(f"{label}: its files are larger than the {MAX_BYTES:,} bytes allowed")
    return total + size


def _zip_members(archive: Path, patterns: Sequence[str], label: str) -> Iterator[tuple[str, bytes]]:
    total = 0
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            if not info.is_dir() and _wanted(info.filename, patterns):
                total = _bounded(info.file_size, total, label)
                yield info.filename, opened.read(info)


def _tar_members(archive: Path, patterns: Sequence[str], label: str) -> Iterator[tuple[str, bytes]]:
    total = 0
    with tarfile.open(archive) as opened:
        for info in opened:
            if info.isfile() and _wanted(info.name, patterns):
                total = _bounded(info.size, total, label)
                stream = opened.extractfile(info)
                if stream is not None:
                    yield info.name, stream.read()
