"""Runs any gated cell as C++ made from its own equations.

``update`` is traced into elementwise expressions, differentiated by autograd's own rules, and
written as C++ around a loop over time that is the same for all cells (``cpp/recurrence.h``).
The input projection is one matrix product before the loop, and so is after it an output projection
that nothing in the loop reads; the gradients of the recurrent matrix and of the biases are one
product over all steps.
"""

from __future__ import annotations

from collections import abc
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from seqlab.cells.base import Cell
from seqlab.cells.gated import GatedCell
from seqlab.cells.noise import Noise
from seqlab.engines.base import Engine, NotPreparedError, Offer, Sequence
from seqlab.engines.compiled.cell_code import REALS, Kernel, kernel_of
from seqlab.engines.compiled.recurrence import KernelRun
from seqlab.engines.compiled.traced_cell import TracedCell
from seqlab.engines.cost import Cost
from seqlab.engines.cpp_compiler import CompilerError, find_compiler
from seqlab.engines.double_backward import differentiable, replay
from seqlab.types import State

#: The base class's own methods that the compiled loop stands for.
_REPLACED = ("step", "_finish")

#: Seconds to trace and compile one cell, rounded up.
COMPILE_SECONDS = 4.0
COST = Cost(step=1e-5, rate=1.25e11, call=1.5e-4)


class CompiledEngine(Engine):
    """Runs gated cells, all options included, on the CPU."""

    name = "compiled"

    def unavailable(self) -> str | None:
        """Why nothing can be compiled on this machine."""
        try:
            find_compiler()
        except CompilerError as error:
            return str(error)
        return None

    def offer(self, cell: Cell, run: Sequence) -> Offer | str:
        """A cell that is not gated, not on a CPU, or does more than its equations is refused."""
        if not isinstance(cell, GatedCell):
            return f"{type(cell).__name__} is not a GatedCell"
        reason = _structure(cell)
        if reason is None and {run.x.device.type, cell.weight_hh.device.type} != {"cpu"}:
            reason = f"it generates code for CPUs, the input is on {run.x.device.type}"
        if reason is not None:
            return reason
        why = "its equations are compiled into one loop"
        return COST.offer(cell, run.x, why, setup_seconds=COMPILE_SECONDS)

    def prepare(self, cell: Cell, run: Sequence) -> str | None:
        """Trace and compile the equations; refused where they are not elementwise maths."""
        kernel = _kernel(cast("GatedCell", cell), run.noise)
        return kernel if isinstance(kernel, str) else None

    def run(self, cell: Cell, run: Sequence) -> tuple[Tensor, State]:
        """All steps; see ``Engine.run``."""
        x_BTD, state, mask, reverse, noise = run
        gated = cast("GatedCell", cell)
        if torch.is_autocast_enabled("cpu"):
            x_BTD = x_BTD.to(gated.weight_ih.dtype)
        with torch.autocast("cpu", enabled=False):
            return _run(gated, x_BTD, state, mask, reverse=reverse, noise=noise)


def _structure(cell: GatedCell) -> str | None:
    """What the cell computes around its equations that this engine does not, or None."""
    for name in _REPLACED:
        if getattr(type(cell), name) is not getattr(GatedCell, name):
            return f"{type(cell).__name__} has its own {name}"
    width = cell.hidden_size if cell.proj_size is None else cell.proj_size
    first = width if cell.projects_state else cell.hidden_size
    rest = {cell.hidden_size} if len(cell.state_sizes) > 1 else set()
    if (cell.output_size, cell.state_sizes[0]) != (width, first) or {*cell.state_sizes[1:]} != rest:
        return "its states or output are not all of the hidden size"
    return None


def _kernel(cell: GatedCell, noise: Noise | None) -> Kernel | str:
    masks = noise is not None and noise.zoneout is not None
    return kernel_of(cell, _real(cell.weight_hh.dtype), zoneout_masks=masks)


def _real(dtype: torch.dtype) -> torch.dtype:
    """The type of the computation: half-precision values are computed in float32."""
    return dtype if dtype in REALS else torch.float32


def _run(
    cell: GatedCell,
    x_BTD: Tensor,
    state: State,
    mask: Tensor | None,
    *,
    reverse: bool,
    noise: Noise | None,
) -> tuple[Tensor, State]:
    kernel = _kernel(cell, noise)
    if isinstance(kernel, str):
        raise NotPreparedError(kernel)
    real = _real(cell.weight_hh.dtype)
    # without masks the projection is the same at all times and rows, and may run time-major
    plain = type(cell).project is GatedCell.project and (noise is None or noise.input_mask is None)
    source = x_BTD.transpose(0, 1).contiguous() if plain else x_BTD
    weight: Tensor = cell.weight_hh
    if noise is not None and noise.weight_mask is not None:
        weight = weight * noise.weight_mask
    own = [_row(cell, name) for name in (*kernel.equations.parameters, *kernel.equations.buffers)]
    tensors = [weight, cell.recurrent_bias, cell.norm_hh, *state, cell.weight_hr, *own]
    inputs = [None if t is None else t.to(real) for t in tensors]
    keep = torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (*inputs, x_BTD, *cell.parameters())
    )
    masks = _masks(cell, kernel.equations, noise, real)
    call = KernelRun(
        kernel, cell.hidden_size, cell.recurrent_size, reverse, keep,
        None if mask is None else mask.T, *masks,
    )  # fmt: skip

    def project() -> Tensor:
        projected = cell.project(source, noise).to(real)
        return projected if plain else projected.transpose(0, 1)

    names = ("weight_hr", *kernel.equations.parameters)
    again = replay(cell, noise, mask, reverse=reverse, names=names)
    output, *finals = _Recurrence.apply(  # type: ignore[no-untyped-call]  # autograd's own
        call, (project, again), project(), *inputs
    )
    finals = [final.to(part.dtype) for final, part in zip(finals, state, strict=True)]
    return output.transpose(0, 1).to(cell.weight_hh.dtype), cell.State(*finals)


def _masks(
    cell: GatedCell, equations: TracedCell, noise: Noise | None, real: torch.dtype
) -> tuple[Tensor | None, list[Tensor], Tensor | float]:
    """Dropout ``[B, 1 or G, P]``, zoneout ``[T, B, H]``, zoneout of a narrowed state."""
    noise = Noise() if noise is None else noise
    drop = noise.recurrent_mask
    if drop is not None:
        drop = (drop if drop.dim() == 3 else drop.unsqueeze(1)).to(real)
    zoneout = noise.zoneout or [None] * equations.states
    wide = [z.to(real) for i in equations.zoned if (z := zoneout[i]) is not None]
    first = zoneout[0]
    zone = cell.zoneout[0] if first is None else first.to(real)
    return drop, wide, zone if equations.narrows else 0.0


def _row(cell: GatedCell, name: str) -> Tensor:
    """A cell's elementwise parameter or buffer as ``[H]``."""
    found: Tensor = dict([*cell.named_parameters(), *cell.named_buffers()])[name]
    return found.expand(cell.hidden_size).contiguous()


class _Recurrence(torch.autograd.Function):
    """The compiled loop as one differentiable operation, differentiable again through the loop."""

    @staticmethod
    def forward(
        ctx: Any,
        call: KernelRun,
        again: tuple[Callable[[], Tensor], Callable[..., abc.Sequence[Tensor]]],
        x_TBG: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        output, finals = call.forward(x_TBG, tensors)
        ctx.call, ctx.again = call, again
        ctx.set_materialize_grads(False)
        if call.keep:
            # the output may lie in the memory that backward reads: autograd watches over it
            ctx.save_for_backward(output, *tensors)
        return (output, *finals)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        _, *tensors = ctx.saved_tensors
        if torch.is_grad_enabled():
            project, repeat = ctx.again
            return (None, None, *differentiable(repeat, [project(), *tensors], grads))
        with torch.autocast("cpu", enabled=False):
            return (None, None, *ctx.call.backward(grads, ctx.needs_input_grad[3:]))
