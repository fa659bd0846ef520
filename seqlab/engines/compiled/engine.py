"""Runs any gated cell as C++ made from its own equations.

``update`` is traced into elementwise expressions, differentiated by autograd's own rules, and
written as C++ around a loop over time that is the same for all cells (``cpp/recurrence.h``).
The input projection is one matrix product before the loop, and so is after it an output projection
that nothing in the loop reads; the gradients of the recurrent matrix and of the biases are one
product over all steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from torch import Tensor

from seqlab.cells.base import Cell
from seqlab.cells.gated import GatedCell
from seqlab.cells.noise import Noise
from seqlab.cells.quantized import scales_of
from seqlab.engines.base import Offer, RunCall, Sequence, StepCall
from seqlab.engines.compiled.cell_code import Kernel, compiling, kept_code, kernel_of, settled
from seqlab.engines.compiled.kept_matrices import kept_matrices
from seqlab.engines.compiled.matrix_products import linear
from seqlab.engines.compiled.plain_run import PlainRun, fits, is_plain, ready_run
from seqlab.engines.compiled.recurrence import CompiledRun
from seqlab.engines.compiled.streaming import Steps, StepsOfCells
from seqlab.engines.cost import Cost, Forward
from seqlab.engines.cpp_compiler import CompilerError, find_compiler
from seqlab.engines.traced.engine import (
    REALS,
    Form,
    Masks,
    TracedEngine,
    masks_of,
    real_of,
    tensors_of,
)
from seqlab.types import State

#: Seconds to trace and compile one cell, rounded up; and to trace it, where its code is stored.
COMPILE_SECONDS, KEPT_SECONDS = 4.0, 0.15
COST = Cost(
    step=4e-6, rate=1.33e11, call=6.5e-4, forward=Forward(step=5e-7, rate=1.4e11, call=5e-5),
    stepping=Forward(step=0.0, rate=1.2e11, call=1.1e-5),
)  # fmt: skip
#: Bytes of an input matrix that stays near the core while the loop multiplies by it.
NEAR_BYTES = 1 << 20


class CompiledEngine(TracedEngine):
    """Runs gated cells, all options included, on the CPU."""

    name = "compiled"
    takes_blocks = True

    def unavailable(self) -> str | None:
        """Why nothing can be compiled on this machine."""
        try:
            find_compiler()
        except CompilerError as error:
            return str(error)
        return None

    def offer(self, cell: Cell, run: Sequence) -> Offer | str:
        """A cell that is not gated, not on a CPU, or does more than its equations is refused."""
        return self.refusal(cell, run) or _offer(COST, cell, run)

    def offer_step(self, cell: Cell, run: Sequence) -> Offer | str:
        """Steps with gradients, and of what packed matrices do not serve, are the loop's."""
        refusal = self.refusal(cell, run)
        if refusal is not None:
            return refusal
        gated = cast("GatedCell", cell)
        if torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
            return "its steps give no gradients and need full precision"
        if not _is_one_product(gated, run.x.dtype, run.noise) or any(
            t.is_inference() for t in gated.parameters()
        ):
            return "its steps pack matrices, and nothing tells when these change"
        return _offer(COST.of_steps(), cell, run)

    def kept(self, cell: Cell, run: Sequence, *, look: bool) -> Literal["here", "stored"] | None:
        """Code in this process, or in the cache of compiled code."""
        gated = cast("GatedCell", cell)
        masks = run.noise is not None and run.noise.zoneout is not None
        dtype = real_of(gated.weight_ih.dtype)
        return kept_code(gated, dtype, zoneout_masks=masks, look=look)

    def prepare_behind(self, cell: Cell, run: Sequence) -> Callable[[], object] | None:
        """The compiler's work; the equations are traced here."""
        gated = cast("GatedCell", cell)
        return None if run.noise is not None else compiling(gated, real_of(gated.weight_ih.dtype))

    def kernel(self, cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool) -> Kernel | str:
        """The cell's C++, compiled."""
        return kernel_of(cell, dtype, zoneout_masks=zoneout_masks)

    def settled(self, cell: GatedCell) -> bool:
        """See ``TracedEngine.settled``."""
        return settled(cell)

    def __init__(self) -> None:
        self._steps = StepsOfCells(self._prepared)

    def run(self, cell: Cell, run: Sequence) -> tuple[Tensor, State]:
        """All steps; see ``Engine.run``."""
        plain = None if torch.is_grad_enabled() else self._plain(cell, run)
        if plain is not None:
            return plain.run(run.x, run.state, run.mask)
        return super().run(cell, run)

    def _plain(self, cell: Cell, run: Sequence) -> PlainRun | None:
        """A run at little cost; None where it must do more."""
        if not fits(cell, run):
            return None
        gated = cast("GatedCell", cell)
        kernel = self.kernel(gated, run.x.dtype, zoneout_masks=False)
        if isinstance(kernel, str) or not is_plain(gated, kernel) or not self.projects(gated, run):
            return None
        return PlainRun(gated, kernel, run)

    def ready_run(self, cell: Cell, run: Sequence) -> RunCall:
        """See ``Engine.ready_run``: plain runs, where nothing that equations read can change."""
        plain = self._plain(cell, run)
        if plain is not None and settled(cast("GatedCell", cell)):
            found = ready_run(plain, cast("GatedCell", cell), run)
            if found is not None:
                return found
        return super().ready_run(cell, run)

    def step(self, cell: Cell, x_BD: Tensor, state: State) -> tuple[Tensor, State] | None:
        """One step without gradients, with matrices that are packed once for many steps."""
        if not isinstance(cell, GatedCell) or torch.is_autocast_enabled("cpu"):
            return None
        if torch.is_grad_enabled() and any(
            t.requires_grad for t in (x_BD, *state, *cell.parameters())
        ):
            return None
        steps = self._steps.of(cell, x_BD)
        return None if steps is None else steps.step(x_BD, state)

    def ready_step(self, cell: Cell) -> StepCall:
        """See ``Engine.ready_step``: packed matrices are looked for where the last ones are old."""
        if torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
            return super().ready_step(cell)
        last: Steps | None = None

        def step(x_BD: Tensor, state: State) -> tuple[Tensor, State] | None:
            nonlocal last
            if last is not None and last.watched.same_numbers():
                return last.step(x_BD, state)
            found = self.step(cell, x_BD, state)
            last = None if found is None else self._steps.of(cast("GatedCell", cell), x_BD)
            return found

        return step

    def _prepared(self, cell: GatedCell, x_BD: Tensor) -> Steps | str:
        """A cell's steps for batches of this size, or why the loop takes them."""
        state = cell.initial_state(len(x_BD), dtype=x_BD.dtype)
        kernel = self.kernel(cell, x_BD.dtype, zoneout_masks=False)
        if isinstance(kernel, str) or not _is_one_product(cell, x_BD.dtype):
            return "its input is not one product"
        masks = masks_of(cell, kernel.equations, None, None, x_BD.dtype)
        call = self.kernel_run(kernel, cell, masks, Form(reverse=False, keep=False, half=None))
        weight = cell.recurrent_weight()
        scales = scales_of(weight)
        # small whole numbers are kept by whole rows
        weight = weight if scales is None else cell.recurrent_matrix()
        call.project(cell.input_matrix(), cell.bias)
        call.shrink(scales_of(cell.input_matrix()), scales)
        call.prepare(x_BD.unsqueeze(0), tensors_of(cell, kernel.equations, weight, state))
        return Steps(call, cell, x_BD)

    def projects(self, cell: GatedCell, run: Sequence) -> bool:
        """Where the projected input is not kept, it need not be written to memory either."""
        return _is_one_product(cell, run.x.dtype, run.noise) and cell.weight_ih.nbytes <= NEAR_BYTES

    def projected(self, cell: GatedCell, x: Tensor, noise: Noise | None) -> Tensor:
        """See ``TracedEngine.projected``."""
        if not _is_one_product(cell, x.dtype, noise):
            return super().projected(cell, x, noise)
        return linear(x, cell.input_matrix(), cell.bias)

    def kernel_run(self, kernel: Any, cell: GatedCell, masks: Masks, form: Form) -> CompiledRun:
        """One run over a sequence."""
        sizes = cell.hidden_size, cell.recurrent_size
        call = CompiledRun(kernel, *sizes, masks, form.reverse, form.keep)
        if not form.keep and masks.drop is None:
            call.kept = kept_matrices(cell, kernel.library)
        return call


def _offer(cost: Cost, cell: Cell, run: Sequence) -> Offer:
    setup = {"setup_seconds": COMPILE_SECONDS, "kept_seconds": KEPT_SECONDS}
    return cost.offer(cell, run.x, "its equations are compiled into one loop", **setup)


def _is_one_product(cell: GatedCell, of_input: torch.dtype, noise: Noise | None = None) -> bool:
    """Whether what the equations are given of the input is a matrix's product and a bias alone."""
    dtype = cell.weight_ih.dtype
    return (
        type(cell).project is GatedCell.project
        and cell.norm_ih is None
        and not cell.raw
        and (noise is None or noise.input_mask is None)
        and dtype == of_input
        and dtype in REALS
    )
