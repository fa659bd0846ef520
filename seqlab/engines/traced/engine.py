"""What engines share that write a loop around a gated cell's own equations.

The input projection is one matrix product before the loop; a kernel runs the loop, forward and
backward; gradients of gradients are those of the reference loop.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor

from seqlab.cells.base import Cell
from seqlab.cells.gated import GatedCell
from seqlab.cells.noise import Noise
from seqlab.cells.products import whole_matrix
from seqlab.engines import base
from seqlab.engines.double_backward import by_operations, differentiable, replay
from seqlab.engines.traced.traced_cell import TracedCell
from seqlab.registry import spoken
from seqlab.types import State

#: The base class's own methods that a kernel's loop stands for.
_REPLACED = ("step", "step_with", "_finish")
#: Types that kernels compute in; others are computed in float32.
REALS = (torch.float32, torch.float64)


class Masks(NamedTuple):
    """What a run masks; None where there is nothing.

    ``real`` is ``[T, B]`` bool, ``drop`` ``[B, 1 or G, P]``, ``zoneout`` ``[T, B, H]`` each.
    ``narrowed`` is the zoneout of a state that ``proj_size`` narrows: the mask ``[T, B, P]`` or
    the expectation.
    """

    real: Tensor | None
    drop: Tensor | None
    zoneout: list[Tensor]
    narrowed: Tensor | float


class Form(NamedTuple):
    """The form of a run.

    ``reverse``: the direction; ``keep``: whether ``backward`` may be called; ``half``: the type
    that autocast asks products to be in, or None.
    """

    reverse: bool
    keep: bool
    half: torch.dtype | None


class KernelRun(Protocol):
    """One run of a kernel over a sequence."""

    def project(self, weight: Tensor, bias: Tensor | None) -> None:
        """Let ``forward`` take the input itself; only where the engine ``projects``."""

    def forward(
        self, x_TBG: Tensor, tensors: Sequence[Tensor | None]
    ) -> tuple[Tensor, list[Tensor]]:
        """Run all steps.

        Args:
            x_TBG: the projected input.
            tensors: recurrent matrix, or its blocks where the engine ``takes_blocks``, recurrent
                bias, gain, initial state, the matrix of ``proj_size``, own parameters; None where
                there is none.

        Returns:
            Output ``[T, B, H]``, or ``[T, B, P]`` with ``proj_size``, and the final state's
            tensors.
        """

    def backward(
        self, grads: Sequence[Tensor | None], needed: Sequence[bool]
    ) -> list[Tensor | None]:
        """Gradients of what ``forward`` was given: the input, then the tensors.

        Args:
            grads: gradients of the output and of the final state; None for zero.
            needed: for each of the tensors, whether its gradient is asked for.
        """


class TracedEngine(base.Engine):
    """Base of the engines that write code of equations; see ``kernel`` and ``kernel_run``."""

    #: Types of devices that its code runs on.
    device = "cpu"
    #: Whether its kernels multiply by the blocks of a block-diagonal recurrent matrix.
    takes_blocks = False
    #: Whether its kernels read a projected input faster when it lies time-major in memory.
    time_major = True

    @abstractmethod
    def kernel(self, cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool) -> Any | str:
        """The code of a cell, with its ``equations``, or why there is none."""

    @abstractmethod
    def kernel_run(self, kernel: Any, cell: GatedCell, masks: Masks, form: Form) -> KernelRun:
        """One run."""

    def projects(self, cell: GatedCell, run: base.Sequence) -> bool:  # noqa: ARG002  # for engines that do
        """Whether its runs without gradients project the input themselves (``project``)."""
        return False

    def projected(self, cell: GatedCell, x: Tensor, noise: Noise | None) -> Tensor:
        """What the equations are given of an input, ``[..., G*H]``."""
        return cell.project(x, noise)

    def refusal(self, cell: Cell, run: base.Sequence) -> str | None:
        """Why the cell's form or its device rules this engine out, or None."""
        if not isinstance(cell, GatedCell):
            return f"{spoken('cell', cell)} is not a GatedCell"
        reason = _structure(cell)
        if reason is None and {run.x.device.type, cell.weight_ih.device.type} != {self.device}:
            reason = f"it generates code for {self.device}, the input is on {run.x.device.type}"
        return reason

    def prepare(self, cell: Cell, run: base.Sequence) -> str | None:
        """Trace and compile the equations; refused where they are not elementwise maths."""
        kernel = self._kernel(cast("GatedCell", cell), run.noise)
        return kernel if isinstance(kernel, str) else None

    def _kernel(self, cell: GatedCell, noise: Noise | None) -> Any | str:
        masks = noise is not None and noise.zoneout is not None
        return self.kernel(cell, real_of(cell.weight_ih.dtype), zoneout_masks=masks)

    def settled(self, cell: GatedCell) -> bool:  # noqa: ARG002  # for engines that know
        """Whether a cell's kernel is what it was when it was last asked for."""
        return False

    def run(self, cell: Cell, run: base.Sequence) -> tuple[Tensor, State]:
        """All steps; see ``Engine.run``."""
        gated = cast("GatedCell", cell)
        if not torch.is_autocast_enabled(self.device):
            return self._run(gated, run, None)
        half = torch.get_autocast_dtype(self.device)
        run = run._replace(x=run.x.to(gated.weight_ih.dtype))
        with torch.autocast(self.device, enabled=False):
            return self._run(gated, run, half)

    def ready_run(self, cell: Cell, run: base.Sequence) -> base.RunCall:
        """See ``Engine.ready_run``: the kernel, and what is masked, are found once."""
        gated = cast("GatedCell", cell)
        if any(next(part.parameters(), None) is not None for part in cell.children()):
            return super().ready_run(cell, run)  # nobody counts what is set on parts
        found = self._preparation(gated, run, None)
        own = gated._parameters.values()  # noqa: SLF001  # those that are there by then
        found = found._replace(parameters=own)
        start, reverse = base.starts(cell, run, only_read=True), run.reverse

        def again(
            x_BTD: Tensor, state: State | None, mask: Tensor | None
        ) -> tuple[Tensor, State] | None:
            state = start(x_BTD, state)
            if state is None or not self.settled(gated):
                return None
            prepared = found
            if mask is not None:
                prepared = found._replace(masks=found.masks._replace(real=mask.T))
            return self._apply(gated, prepared, base.Sequence(x_BTD, state, mask, reverse))

        return again

    def ready_training_run(self, cell: Cell, run: base.Sequence) -> base.RunCall:
        """See ``Engine.ready_training_run``."""
        return TracedEngine.ready_run(self, cell, run)

    def _run(
        self, cell: GatedCell, run: base.Sequence, half: torch.dtype | None
    ) -> tuple[Tensor, State]:
        return self._apply(cell, self._preparation(cell, run, half), run)

    def _preparation(
        self, cell: GatedCell, run: base.Sequence, half: torch.dtype | None
    ) -> _Prepared:
        kernel = self._kernel(cell, run.noise)
        if isinstance(kernel, str):
            raise base.NotPreparedError(kernel)
        real = real_of(cell.weight_ih.dtype)
        masks = masks_of(cell, kernel.equations, run.noise, run.mask, real)
        return _Prepared(kernel, real, masks, half, list(cell.parameters()))

    def _apply(
        self, cell: GatedCell, prepared: _Prepared, run: base.Sequence
    ) -> tuple[Tensor, State]:
        x_BTD, state, mask, reverse, noise = run
        kernel, real, masks, half, parameters = prepared
        weight = cell.recurrent_weight()
        if weight is not None and noise is not None and noise.weight_mask is not None:
            weight = weight * noise.weight_mask
        if not self.takes_blocks:
            weight = whole_matrix(cell, weight)
        equations: TracedCell = kernel.equations
        inputs = [
            t if t is None or t.dtype is real else t.to(real)
            for t in tensors_of(cell, equations, weight, state)
        ]
        keep = torch.is_grad_enabled() and any(
            t is not None and t.requires_grad for t in (*inputs, x_BTD, *parameters)
        )
        call = self.kernel_run(kernel, cell, masks, Form(reverse, keep, half))
        if not keep and half is None and self.projects(cell, run):
            call.project(cell.input_matrix(), cell.bias)
            output, parts = call.forward(x_BTD.transpose(0, 1), inputs)
            return output.transpose(0, 1), cell.State(*parts)

        # without masks the projection is the same at all times and rows, and may run time-major
        unmasked = noise is None or noise.input_mask is None
        plain = self.time_major and unmasked and type(cell).project is GatedCell.project
        source = x_BTD.transpose(0, 1).contiguous() if plain else x_BTD

        def project() -> Tensor:
            projected = self.projected(cell, source, noise).to(real)
            return projected if plain else projected.transpose(0, 1)

        if keep:
            names = ("weight_hr", *equations.parameters)
            again = replay(cell, noise, mask, reverse=reverse, names=names)
            output, *finals = _Recurrence.apply(  # type: ignore[no-untyped-call]  # autograd's own
                call, self.device, (project, again), project(), *inputs
            )
        else:
            output, finals = call.forward(project(), inputs)
        finals = [
            final if final.dtype is part.dtype else final.to(part.dtype)
            for final, part in zip(finals, state, strict=True)
        ]
        return output.transpose(0, 1).to(cell.weight_ih.dtype), cell.State(*finals)


class _Prepared(NamedTuple):
    """What runs of one form have in common, and the parameters that may want gradients."""

    kernel: Any
    real: torch.dtype
    masks: Masks
    half: torch.dtype | None
    parameters: Collection[Tensor | None]


def _structure(cell: GatedCell) -> str | None:
    """What the cell computes around its equations that no kernel does, or None."""
    for name in _REPLACED:
        if getattr(type(cell), name) is not getattr(GatedCell, name):
            return f"{spoken('cell', cell)} has its own {name}"
    width = cell.hidden_size if cell.proj_size is None else cell.proj_size
    first = width if cell.projects_state else cell.hidden_size
    rest = {cell.hidden_size} if len(cell.state_sizes) > 1 else set()
    if (cell.output_size, cell.state_sizes[0]) != (width, first) or {*cell.state_sizes[1:]} != rest:
        return "its states or output are not all of the hidden size"
    return None


def real_of(dtype: torch.dtype) -> torch.dtype:
    """The type of the computation: half-precision values are computed in float32."""
    return dtype if dtype in REALS else torch.float32


def masks_of(
    cell: GatedCell,
    equations: TracedCell,
    noise: Noise | None,
    mask: Tensor | None,
    real: torch.dtype,
) -> Masks:
    """What a run masks, in the type of its computation."""
    noise = Noise() if noise is None else noise
    drop = noise.recurrent_mask
    if drop is not None:
        drop = (drop if drop.dim() == 3 else drop.unsqueeze(1)).to(real)
    zoneout = noise.zoneout or [None] * equations.states
    wide = [z.to(real) for i in equations.zoned if (z := zoneout[i]) is not None]
    first = zoneout[0]
    zone = cell.zoneout[0] if first is None else first.to(real)
    return Masks(None if mask is None else mask.T, drop, wide, zone if equations.narrows else 0.0)


def tensors_of(
    cell: GatedCell, equations: TracedCell, weight: Tensor | None, state: Sequence[Tensor]
) -> list[Tensor | None]:
    """What ``KernelRun.forward`` is given beside the input."""
    own = own_rows(cell, equations)
    return [weight, cell.recurrent_bias, cell.norm_hh, *state, cell.weight_hr, *own]


def own_rows(cell: GatedCell, equations: TracedCell) -> list[Tensor]:
    """A cell's elementwise parameters and buffers that its equations read, each ``[H]``."""
    names = (*equations.parameters, *equations.buffers)
    if not names:
        return []
    found: dict[str, Tensor] = dict([*cell.named_parameters(), *cell.named_buffers()])
    return [found[name].expand(cell.hidden_size).contiguous() for name in names]


class _Recurrence(torch.autograd.Function):
    """A kernel's loop as one differentiable operation, differentiable again through the loop."""

    @staticmethod
    def forward(
        ctx: Any,
        call: KernelRun,
        device: str,
        again: tuple[Callable[[], Tensor], Callable[..., Sequence[Tensor]]],
        x_TBG: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        output, finals = call.forward(x_TBG, tensors)
        ctx.call, ctx.device, ctx.again = call, device, again
        ctx.set_materialize_grads(False)
        # the output may lie in the memory that backward reads: autograd watches over it
        ctx.save_for_backward(output, *tensors)
        return (output, *finals)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        _, *tensors = ctx.saved_tensors
        nothing = (None, None, None)
        if by_operations(*grads):
            project, repeat = ctx.again
            with torch.enable_grad():
                projected = project()
            return (*nothing, *differentiable(repeat, [projected, *tensors], grads))
        needed, call = ctx.needs_input_grad[4:], ctx.call
        if not torch._C._autograd._get_current_graph_task_keep_graph():  # noqa: SLF001  # no other
            ctx.call = ctx.again = None  # the output may live on, its memory must not
        if not torch.is_autocast_enabled(ctx.device):
            return (*nothing, *call.backward(grads, needed))
        with torch.autocast(ctx.device, enabled=False):
            return (*nothing, *call.backward(grads, needed))
