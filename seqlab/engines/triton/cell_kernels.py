"""A gated cell's Triton kernels: traced and written once."""

from __future__ import annotations

import hashlib
import linecache
from typing import Any, NamedTuple

import torch

from seqlab.cells.gated import GatedCell
from seqlab.engines.traced.aten_maths import NotElementwiseError
from seqlab.engines.traced.traced_cell import TracedCell, trace
from seqlab.engines.traced.variants import Variants
from seqlab.engines.triton.kernel_source import Source, generate


class Kernels(NamedTuple):
    """The kernels of one cell's equations; Triton compiles them at their first launch."""

    equations: TracedCell
    source: Source
    forward: Any
    backward: Any


def kernels_of(cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool) -> Kernels | str:
    """The kernels of a cell as it is now, or why there are none."""
    return _variants.of(cell, dtype, zoneout_masks=zoneout_masks)


def _make(cell: GatedCell, dtype: torch.dtype, zoneout_masks: bool) -> Kernels | str:
    del dtype  # the text is the same for all
    try:
        equations = trace(cell, zoneout_masks=zoneout_masks)
    except NotElementwiseError as error:
        return f"its update is not elementwise maths ({error})"
    source = generate(equations)
    module = _loaded(source.text)
    return Kernels(equations, source, module["forward"], module["backward"])


_modules: dict[str, dict[str, Any]] = {}


def _loaded(text: str) -> dict[str, Any]:
    """The module of a text; equal texts are one, and so are compiled once."""
    if text not in _modules:
        # Triton reads a kernel's source as `inspect` finds it
        name = f"seqlab-triton-{hashlib.sha256(text.encode()).hexdigest()[:16]}.py"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        module: dict[str, Any] = {"__name__": "seqlab.engines.triton.generated"}
        exec(compile(text, name, "exec"), module)  # noqa: S102  # our own text, from expressions
        _modules[text] = module
    return _modules[text]


_variants = Variants(_make)
