"""Large memory in large pages: fewer page faults, and fewer misses of the address cache."""

from __future__ import annotations

import ctypes
import functools
import mmap
from collections.abc import Callable

from torch import Tensor

#: Bytes from which it pays to ask; a large page has 2 MiB on x86.
LARGE = 8 << 20


@functools.cache
def _advise() -> Callable[[int, int], object] | None:
    """Asks for large pages at an address, so many bytes; None where that is not known how."""
    advice = getattr(mmap, "MADV_HUGEPAGE", None)  # Linux alone has it
    if advice is None:
        return None
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return lambda start, size: madvise(start, size, advice)


def new_empty(like: Tensor, *shape: int) -> Tensor:
    """As ``like.new_empty(shape)``; a large tensor asks for large pages before it is filled.

    The request is advice: a system may ignore it, and the values are the same either way.

    Example:
        >>> import torch
        >>> new_empty(torch.zeros(1), 2, 3).shape
        torch.Size([2, 3])
    """
    made = like.new_empty(shape)
    advise = _advise() if made.nbytes >= LARGE else None
    if advise is not None:
        start = -(-made.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        advise(start, (made.data_ptr() + made.nbytes - start) // mmap.PAGESIZE * mmap.PAGESIZE)
    return made
