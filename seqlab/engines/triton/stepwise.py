"""One run of a cell over time-major tensors, with launches at each step, forward and backward.

For cells of which a step is more than its equations and one or two products: layer normalisation
needs all gates of a row, ``proj_size`` one more product, and a cell may have more products. The
gradients of the matrices are one product over all steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from seqlab.cells.gated import GatedCell
from seqlab.cells.products import spread_heads
from seqlab.engines.traced.blocks import blocks_of
from seqlab.engines.traced.engine import Form, Masks
from seqlab.engines.traced.weight_gradient import Multiplied, weight_gradient
from seqlab.engines.triton import graphs
from seqlab.engines.triton.cell_kernels import StepKernels
from seqlab.engines.triton.graphs import Lease
from seqlab.engines.triton.kept_steps import KeptSteps, addresses_of, form_of, own
from seqlab.engines.triton.step_launches import Back
from seqlab.engines.triton.step_loop import Read, Sizes, StepLoop
from seqlab.engines.triton.step_products import times
from seqlab.engines.triton.tiling import Place


@dataclass
class StepRun:
    """One run over a sequence, and the memory it fills.

    H units; P is the width of what the recurrent matrix multiplies, and of the first state field
    where ``proj_size`` narrows it. ``graphed``: the cell, where CUDA graphs are asked for.
    """

    kernels: StepKernels
    hidden: int
    inner: int
    masks: Masks
    form: Form
    place: Place
    graphed: GatedCell | None = None
    blocks: int = field(init=False)
    narrow: Tensor | None = field(init=False)
    loop: StepLoop = field(init=False)
    lease: Lease | None = None
    output: Tensor | None = None

    def project(self, weight: Tensor, bias: Tensor | None) -> None:
        """No kernel of it does."""
        raise NotImplementedError

    def forward(
        self, x_TBG: Tensor, tensors: Sequence[Tensor | None]
    ) -> tuple[Tensor, list[Tensor]]:
        """See ``KernelRun``."""
        count = self.kernels.equations.states
        weight, bias, gain, *rest = tensors
        states = [s for s in rest[:count] if s is not None]
        self.blocks = blocks_of(weight, self.inner)
        if weight is not None and self.blocks > 1:
            weight = spread_heads(weight, self.hidden, self.blocks)
        half = self.form.half
        self.narrow = _as(rest[count], half)
        read = Read(
            x_TBG if x_TBG.stride(2) == 1 else x_TBG.contiguous(), _as(weight, half), _whole(bias),
            _whole(gain), self.narrow, tuple([t for t in rest[count + 1 :] if t is not None]),
            _by_gate(self.masks),
        )  # fmt: skip
        self._run(read, states)
        finals, output = self.loop.finals(), self.loop.output()
        if self.narrow is None or self.kernels.equations.narrows:
            shown = output if self.lease is None else output.clone()
        else:
            self.output = output if self.form.keep else None
            shown = times(output, self.narrow.T, half)
        if not self.form.keep:
            self._end()
        return shown, finals

    def _run(self, read: Read, states: Sequence[Tensor]) -> None:
        """All steps, in memory that is kept with its graphs or in memory of this run."""
        widths = [state.shape[1] for state in states]
        sizes = Sizes(self.hidden, self.inner)

        def loop(read: Read) -> StepLoop:
            return StepLoop(self.kernels, sizes, self.form, self.place, read, widths)

        x = read.x
        if self.graphed is not None and len(x) >= graphs.LEAST_STEPS:
            form = (id(self.kernels), sizes, self.form, self.place, form_of(read))
            self.lease = graphs.GRAPHS.lease(
                self.graphed, x.device, form, addresses_of(read), lambda: KeptSteps(loop(own(read)))
            )
        if self.lease is None:
            self.loop = loop(read)
            self.loop.start(states)
            self.loop.run()
        else:
            kept: KeptSteps = self.lease.loop
            self.loop = kept.loop
            kept.forward(read, states)

    def _end(self) -> None:
        """Nothing of the loop is needed any more."""
        if self.lease is not None:
            self.lease.end(failed=self.lease.loop.failed)
            self.lease = None

    def backward(
        self, grads: Sequence[Tensor | None], needed: Sequence[bool]
    ) -> list[Tensor | None]:
        """See ``KernelRun``."""
        equations, half = self.kernels.equations, self.form.half
        d_output = grads[0]
        if d_output is not None and self.output is not None:
            assert self.narrow is not None  # noqa: S101  # by it the output was made
            d_output = times(d_output, self.narrow, half)
        if d_output is not None and d_output.stride(2) != 1:
            d_output = d_output.contiguous()
        kept = self.lease is not None and graphs.cuda.allows()
        if self.lease is not None and kept:
            back: Back = self.lease.loop.backward(d_output, grads[1:])
        else:
            back = self.loop.back(d_output, grads[1:])
            self.loop.run_back(back)
        d_weight = self._weight_gradient(back.d_h) if needed[0] else None
        d_gain = d_bias = None
        if back.sums is not None:
            d_gain, d_bias = back.sums.sum(1)
        elif needed[1]:
            d_bias = back.d_h.flatten(0, 1).sum(0)
        wants = needed[3 + len(back.d_states)]
        d_narrow = self._narrow_gradient(grads[0], back.d_reduced) if wants else None
        d_own = [d.sum(0) for d in back.d_own]
        buffers = [None] * len(equations.buffers)
        d_x, *d_states = [d.clone() if kept else d for d in (back.d_x, *back.d_states)]
        # a graph that is kept may be gone through again
        if not torch._C._autograd._get_current_graph_task_keep_graph():  # noqa: SLF001  # no other
            self._end()
        found = [d_x, d_weight, d_bias, d_gain, *d_states, d_narrow, *d_own, *buffers]
        return [d if index == 0 or needed[index - 1] else None for index, d in enumerate(found)]

    # -- what is left of the gradients -------------------------------------------------------

    def _weight_gradient(self, d_h: Tensor) -> Tensor:
        """As the matrix: whole, or its blocks."""
        reduced = self.loop.reduced
        multiplied = [
            Multiplied(p.first, p.last, reduced[i] if reduced else self.loop.before(i))
            for i, p in enumerate(self.loop.products)
            if p is not None
        ]
        return weight_gradient(d_h, multiplied, self.hidden, self.masks.drop, self.blocks)

    def _narrow_gradient(self, d_output: Tensor | None, d_reduced: Sequence[Tensor]) -> Tensor:
        """``[P, H]``: one product over all steps for each vector that the matrix narrowed."""
        pairs = [(d_reduced[0], self.loop.wide)] if self.kernels.equations.narrows else [
            (d_reduced[i], self.loop.before(i))
            for i, p in enumerate(self.loop.products) if p is not None
        ]  # fmt: skip
        if self.output is not None and d_output is not None:
            pairs.append((d_output, self.output))
        return torch.stack([d.flatten(0, 1).T @ v.flatten(0, 1) for d, v in pairs]).sum(0)


def _whole(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _as(matrix: Tensor | None, half: torch.dtype | None) -> Tensor | None:
    return matrix if matrix is None or half is None else matrix.to(half)


def _by_gate(masks: Masks) -> Masks:
    """Masks as steps read them: the dropout by gates, each in one piece of memory."""
    drop, zone = masks.drop, masks.narrowed
    if drop is not None:
        drop = drop[:, 0] if drop.shape[1] == 1 else drop.transpose(0, 1).contiguous()
    zones = [z.contiguous() for z in masks.zoneout]
    return Masks(masks.real, drop, zones, zone.contiguous() if isinstance(zone, Tensor) else zone)
