"""A gated cell's compiled recurrence: traced, generated and compiled once."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from seqlab.cells.gated import GatedCell
from seqlab.engines.compiled.cpp_source import Layout, generate
from seqlab.engines.cpp_compiler import CompilerError, library_file, load_library
from seqlab.engines.traced.aten_maths import NotElementwiseError
from seqlab.engines.traced.traced_cell import TracedCell, trace
from seqlab.engines.traced.variants import Variants

HEADERS = Path(__file__).parent / "cpp"
MOST, MOST_PRODUCTS = 16, 4  # as in cpp/arguments.h
REALS = {torch.float32: "float", torch.float64: "double"}


class Kernel(NamedTuple):
    """Compiled code of one cell's equations."""

    equations: TracedCell
    layout: Layout
    library: ctypes.CDLL


class Written(NamedTuple):
    """A cell's equations and their C++, not compiled."""

    equations: TracedCell
    layout: Layout
    real: str


def kernel_of(cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool) -> Kernel | str:
    """The compiled recurrence of a cell as it is now, or why there is none.

    It is traced and compiled once for all that ``update`` can see (``constants_of``).
    """
    return _variants.of(cell, dtype, zoneout_masks=zoneout_masks)


def kept_code(
    cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool, look: bool
) -> Literal["here", "stored"] | None:
    """Whether a cell's code was compiled before; see ``Engine.kept``."""
    if _variants.has(cell, dtype, zoneout_masks=zoneout_masks):
        return "here"
    if not look:
        return None
    written = _written.of(cell, dtype, zoneout_masks=zoneout_masks)
    if isinstance(written, str):
        return None
    file = library_file(written.layout.source, written.real, HEADERS)
    return "stored" if file.exists() else None


def compiling(cell: GatedCell, dtype: torch.dtype) -> Callable[[], object] | None:
    """Compiles a cell's code into the cache when it is called; None where there is no such code."""
    written = _written.of(cell, dtype, zoneout_masks=False)
    if isinstance(written, str):
        return None
    return functools.partial(load_library, written.layout.source, written.real, HEADERS)


def settled(cell: GatedCell) -> bool:
    """Whether a cell's code is what it was when ``kernel_of`` was last asked for it."""
    return _variants.settled(cell)


def _write(cell: GatedCell, dtype: torch.dtype, zoneout_masks: bool) -> Written | str:
    try:
        equations = trace(cell, zoneout_masks=zoneout_masks)
        layout = generate(equations)
    except NotElementwiseError as error:
        return f"its update is not elementwise maths ({error})"
    counts = (equations.states, len(equations.parameters) + len(equations.buffers))
    if equations.products > MOST_PRODUCTS:
        return f"more than {MOST_PRODUCTS} recurrent products"
    if max(counts) > MOST:
        return "more than 16 states or parameters"
    return Written(equations, layout, REALS[dtype])


def _make(cell: GatedCell, dtype: torch.dtype, zoneout_masks: bool) -> Kernel | str:
    written = _written.of(cell, dtype, zoneout_masks=zoneout_masks)
    if isinstance(written, str):
        return written
    try:
        library = load_library(written.layout.source, written.real, HEADERS)
    except CompilerError as error:
        return str(error)
    return Kernel(written.equations, written.layout, library)


_written = Variants(_write)
_variants = Variants(_make)
