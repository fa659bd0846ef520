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
from seqlab.engines.triton_launch import Launcher

#: The module that generated kernels say they are of.
GENERATED = "seqlab.engines.triton.generated"


class Kernels(NamedTuple):
    """The kernels of all steps of one cell; Triton compiles them at their first launch."""

    equations: TracedCell
    source: Source
    forward: Launcher
    backward: Launcher


class StepKernels(NamedTuple):
    """The kernels of one step of a cell, by name; see ``generate_steps``."""

    equations: TracedCell
    source: Source
    module: dict[str, Launcher]


def kernels_of(cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool) -> Kernels | str:
    """The kernels of a cell as it is now, or why there are none."""
    return _variants.of(cell, dtype, zoneout_masks=zoneout_masks)


def step_kernels_of(
    cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool
) -> StepKernels | str:
    """The same, of single steps."""
    return _step_variants.of(cell, dtype, zoneout_masks=zoneout_masks)


def settled(cell: GatedCell, *, steps: bool) -> bool:
    """Whether the kernels of a cell are what they were when they were last asked for."""
    return (_step_variants if steps else _variants).settled(cell)


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
    module = _launched(source.text)
    return Kernels(equations, source, module["forward"], module["backward"])


def _make_steps(cell: GatedCell, dtype: torch.dtype, zoneout_masks: bool) -> StepKernels | str:
    del dtype
    equations = _traced(cell, zoneout_masks=zoneout_masks)
    if isinstance(equations, str):
        return equations
    source = generate_steps(equations)
    return StepKernels(equations, source, _launched(source.text))


_launchers: dict[str, dict[str, Launcher]] = {}


def _launched(text: str) -> dict[str, Launcher]:
    """The kernels of a text by name; equal texts are one, and so are compiled once."""
    if text not in _launchers:
        # Triton reads a kernel's source as `inspect` finds it
        name = f"seqlab-triton-{hashlib.sha256(text.encode()).hexdigest()[:16]}.py"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        module: dict[str, Any] = {"__name__": GENERATED}
        exec(compile(text, name, "exec"), module)  # noqa: S102  # our own text, from expressions
        _launchers[text] = {
            name: Launcher(made)
            for name, made in module.items()
            if getattr(getattr(made, "fn", None), "__module__", None) == GENERATED
        }
    return _launchers[text]


_variants = Variants(_make)
_step_variants = Variants(_make_steps)


def _reals() -> dict[torch.dtype, Any]:
    import triton.language as tl

    return {torch.float32: tl.float32, torch.float64: tl.float64}


#: What kernels call the types that they compute in.
REALS = _reals()
