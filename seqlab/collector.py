"""Python's cyclic garbage collector, where much is made that stays."""

from __future__ import annotations

import atexit
import contextlib
import gc
from collections.abc import Iterator

_RARELY = (50_000, 20, 50)


@contextlib.contextmanager
def rare_collections() -> Iterator[None]:
    """Look for cycles less often in the block.

    Reading many rows and importing large libraries make many objects and hardly a cycle. With
    Python's thresholds the collector goes through all modules that are loaded again and again,
    which takes as long as reading itself.
    """
    before = gc.get_threshold()
    gc.set_threshold(*_RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def end_without_looking() -> None:
    """Look for no cycles when this process ends.

    Python would go through all modules once more, for over a second with torch and Lightning, to
    free what ends with the process anyhow.
    """
    atexit.register(gc.freeze)
