"""A gated cell's compiled recurrence: traced, generated and compiled once."""

from __future__ import annotations

import ctypes
import weakref
from pathlib import Path
from typing import Any, NamedTuple

import torch

from seqlab.cells.gated import GatedCell
from seqlab.engines.compiled.aten_maths import NotElementwiseError
from seqlab.engines.compiled.cpp_source import Layout, generate
from seqlab.engines.compiled.tracing import Equations, trace
from seqlab.engines.cpp_compiler import CompilerError, load_library

HEADERS = Path(__file__).parent / "cpp"
MOST = 16  # as in cpp/run.h
REALS = {torch.float32: "float", torch.float64: "double"}


class Kernel(NamedTuple):
    """Compiled code of one cell's equations."""

    equations: Equations
    layout: Layout
    library: ctypes.CDLL


#: For each cell its kernels, or why it has none, by what may change the code.
_known: weakref.WeakKeyDictionary[GatedCell, dict[Any, Kernel | str]] = weakref.WeakKeyDictionary()


def kernel_of(cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool) -> Kernel | str:
    """The compiled recurrence of a cell, or why there is none; traced and compiled once."""
    key = (dtype, zoneout_masks and any(cell.zoneout), cell.zoneout, cell.layer_norm,
           cell.activation, cell.recurrent_activation)  # fmt: skip
    kernels = _known.setdefault(cell, {})
    if key not in kernels:
        kernels[key] = _make(cell, dtype, zoneout_masks=zoneout_masks)
    return kernels[key]


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
