"""Matrices that stay packed between runs without gradients, as long as their numbers stay."""

from __future__ import annotations

import ctypes
import threading
import weakref
from typing import Any

from seqlab.cells.gated import GatedCell

#: Rows times steps of a run; in longer ones packing takes a small share of the time.
MOST_ROWS = 4096


class KeptMatrices:
    """What the runs of one cell by one library have packed.

    The library compares the numbers of all matrices in each run (``cpp/kept.h``), so weights may
    change in any way. Only one run at a time uses them; another one packs its own.
    """

    def __init__(self, library: Any) -> None:
        library.keep.restype = ctypes.c_void_p
        self.library = library
        self._lock, self._forward = threading.Lock(), library.forward_kept
        self._made = ctypes.c_void_p(library.keep())
        weakref.finalize(self, library.forget, self._made)

    def forward(self, run: ctypes.Structure, start: Any = None, last: Any = None) -> None:
        """All steps of a run that drops nothing of what the matrices multiply.

        Args:
            run: its ``Arguments``.
            start: pointers to the states before it; None where the histories hold them.
            last: pointers to where the states after it go, or None.
        """
        mine = self._lock.acquire(blocking=False)
        try:
            self._forward(self._made if mine else None, ctypes.byref(run), start, last)
        finally:
            if mine:
                self._lock.release()


_known: weakref.WeakKeyDictionary[GatedCell, KeptMatrices] = weakref.WeakKeyDictionary()


def kept_matrices(cell: GatedCell, library: Any) -> KeptMatrices:
    """Those of a cell."""
    known = _known.get(cell)
    if known is None or known.library is not library:
        known = _known[cell] = KeptMatrices(library)
    return known
