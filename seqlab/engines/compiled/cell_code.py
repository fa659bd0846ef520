"""A gated cell's compiled recurrence: traced, generated and compiled once."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Hashable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from seqlab.cells.base import settings_key
from seqlab.cells.gated import GatedCell
from seqlab.engines.compiled.aten_maths import NotElementwiseError
from seqlab.engines.compiled.constants import UnreadableError, constants_of, read_constants
from seqlab.engines.compiled.cpp_source import Layout, generate
from seqlab.engines.compiled.traced_cell import TracedCell, trace
from seqlab.engines.cpp_compiler import CompilerError, load_library

HEADERS = Path(__file__).parent / "cpp"
MOST = 16  # as in cpp/arguments.h
#: Kernels of one cell, each for other values that its equations read.
MOST_VARIANTS = 16
REALS = {torch.float32: "float", torch.float64: "double"}


class Kernel(NamedTuple):
    """Compiled code of one cell's equations."""

    equations: TracedCell
    layout: Layout
    library: ctypes.CDLL


class _Codes:
    """The kernels of one cell, or why it has none, by what may change the code."""

    def __init__(self) -> None:
        self.kernels: dict[Any, Kernel | str] = {}
        self._read: tuple[Hashable, Hashable] = (None, None)

    def constants(self, cell: GatedCell) -> Hashable:
        """``constants_of``, not read again where nothing can have changed."""
        key = settings_key(cell)
        before, constants = self._read
        if before != key:
            constants, settled = read_constants(cell)
            self._read = (key if settled else None, constants)
        return constants


_known: weakref.WeakKeyDictionary[GatedCell, _Codes] = weakref.WeakKeyDictionary()


def kernel_of(cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool) -> Kernel | str:
    """The compiled recurrence of a cell as it is now, or why there is none.

    It is traced and compiled once for all that ``update`` can see (``constants_of``).
    """
    codes = _known.get(cell)
    if codes is None:
        codes = _known[cell] = _Codes()
    try:
        constants = codes.constants(cell)
    except UnreadableError as error:
        return str(error)
    form = (dtype, zoneout_masks and any(cell.zoneout), cell.zoneout, cell.layer_norm)
    kernels = codes.kernels
    if (form, constants) not in kernels:
        if len(kernels) == MOST_VARIANTS:
            return (
                f"what its update reads has had {MOST_VARIANTS} values; a number that changes "
                "often belongs in a buffer"
            )
        made = _make(cell, dtype, zoneout_masks=zoneout_masks)
        stays = constants == constants_of(cell)
        kernels[form, constants] = made if stays else "its update changes what it reads"
    return kernels[form, constants]


def _make(cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool) -> Kernel | str:
    try:
        equations = trace(cell, zoneout_masks=zoneout_masks)
        layout = generate(equations)
        library = load_library(layout.source, REALS[dtype], HEADERS)
    except NotElementwiseError as error:
        return f"its update is not elementwise maths ({error})"
    except CompilerError as error:
        return str(error)
    counts = (equations.states, len(equations.parameters) + len(equations.buffers))
    return (
        "more than 16 states or parameters"
        if max(counts) > MOST
        else Kernel(equations, layout, library)
    )
