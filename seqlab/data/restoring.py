"""Around whatever takes plain values from a file of a bundle."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from seqlab.errors import BundleError, SeqlabError
from seqlab.files import reading


@contextlib.contextmanager
def restoring(path: object, expected: str) -> Iterator[None]:
    """Whatever the block raises is a BundleError of one line that begins with the path.

    Args:
        path: the file.
        expected: what it should hold.
    """
    try:
        with reading(path, BundleError, expected):
            yield
    except SeqlabError as error:
        if isinstance(error, BundleError) and str(error).startswith(str(path)):
            raise
        raise BundleError(f"{path}: {error}") from error
