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
from seqlab.engines.triton.kernel_source import Source, generate, generate_steps


class Kernels(NamedTuple):
    """The kernels of all steps of one cell; Triton compiles them at their first launch."""

    equations: TracedCell
    source: Source
    forward: Any
    backward: Any


class StepKernels(NamedTuple):
    """The kernels of one step of a cell, by name; see ``generate_steps``."""

    equations: TracedCell
    source: Source
    module: dict[str, Any]


def kernels_of(cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool) -> Kernels | str:
    """The kernels of a cell as it is now, or why there are none."""
    return _variants.of(cell, dtype, zoneout_masks=zoneout_masks)


def step_kernels_of(
    cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool
) -> StepKernels | str:
    """The same, of single steps."""
    return _step_variants.of(cell, dtype, zoneout_masks=zoneout_masks)


def _traced(cell: GatedCell, *, zoneout_masks: bool) -> TracedCell | str:
    try:
        return trace(cell, zoneout_masks=zoneout_masks)
    except NotElementwiseError as error:
        return f"its update is not elementwise maths ({error})"


def _make(cell: GatedCell, dtype: torch.dtype, zoneout_masks: bool) -> Kernels | str:
    del dtype  # the text is the same for all
    equations = _traced(cell, zoneout_masks=zoneout_masks)
    if isinstance(equations, str):
        return equations
    source = generate(equations, blocked=cell.heads > 1)
    module = _loaded(source.text)
    return Kernels(equations, source, module["forward"], module["backward"])


def _make_steps(cell: GatedCell, dtype: torch.dtype, zoneout_masks: bool) -> StepKernels | str:
    del dtype
    equations = _traced(cell, zoneout_masks=zoneout_masks)
    if isinstance(equations, str):
        return equations
    source = generate_steps(equations)
    return StepKernels(equations, source, _loaded(source.text))


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
_step_variants = Variants(_make_steps)


def _reals() -> dict[torch.dtype, Any]:
    import triton.language as tl

    return {torch.float32: tl.float32, torch.float64: tl.float64}


#: What kernels call the types that they compute in.
REALS = _reals()
