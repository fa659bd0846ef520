"""A gated cell's compiled recurrence: traced, generated and compiled once."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import NamedTuple

import torch

from seqlab.cells.gated import GatedCell
from seqlab.engines.compiled.cpp_source import Layout, generate
from seqlab.engines.cpp_compiler import CompilerError, load_library
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


def kernel_of(cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool) -> Kernel | str:
    """The compiled recurrence of a cell as it is now, or why there is none.

    It is traced and compiled once for all that ``update`` can see (``constants_of``).
    """
    return _variants.of(cell, dtype, zoneout_masks=zoneout_masks)


def _make(cell: GatedCell, dtype: torch.dtype, zoneout_masks: bool) -> Kernel | str:
    try:
        equations = trace(cell, zoneout_masks=zoneout_masks)
        layout = generate(equations)
        library = load_library(layout.source, REALS[dtype], HEADERS)
    except NotElementwiseError as error:
        return f"its update is not elementwise maths ({error})"
    except CompilerError as error:
        return str(error)
    counts = (equations.states, len(equations.parameters) + len(equations.buffers))
    if equations.products > MOST_PRODUCTS:
        return f"more than {MOST_PRODUCTS} recurrent products"
    return (
        "more than 16 states or parameters"
        if max(counts) > MOST
        else Kernel(equations, layout, library)
    )


_variants = Variants(_make)
