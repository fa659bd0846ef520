"""Runs any gated cell as C++ made from its own equations.

``update`` is traced into elementwise expressions, differentiated by autograd's own rules, and
written as C++ around a loop over time that is the same for all cells (``cpp/recurrence.h``).
The input projection is one matrix product before the loop, and so is after it an output projection
that nothing in the loop reads; the gradients of the recurrent matrix and of the biases are one
product over all steps.
"""

from __future__ import annotations

from typing import Any, cast

import torch

from seqlab.cells.base import Cell
from seqlab.cells.gated import GatedCell
from seqlab.cells.noise import Noise
from seqlab.engines.base import Offer, Sequence
from seqlab.engines.compiled.cell_code import Kernel, kernel_of
from seqlab.engines.compiled.recurrence import CompiledRun
from seqlab.engines.cost import Cost
from seqlab.engines.cpp_compiler import CompilerError, find_compiler
from seqlab.engines.traced.engine import REALS, Form, Masks, TracedEngine

#: Seconds to trace and compile one cell, rounded up.
COMPILE_SECONDS = 4.0
COST = Cost(step=1e-5, rate=1.25e11, call=1.5e-4)
#: Bytes of an input matrix that stays near the core while the loop multiplies by it.
NEAR_BYTES = 1 << 20


class CompiledEngine(TracedEngine):
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
        why = "its equations are compiled into one loop"
        return self.refusal(cell, run) or COST.offer(
            cell, run.x, why, setup_seconds=COMPILE_SECONDS
        )

    def kernel(self, cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool) -> Kernel | str:
        """The cell's C++, compiled."""
        return kernel_of(cell, dtype, zoneout_masks=zoneout_masks)

    def projects(self, cell: GatedCell, run: Sequence) -> bool:
        """Where the projected input is not kept, it need not be written to memory either."""
        noise = cast("Noise | None", run.noise)
        weight = cell.weight_ih
        return (
            type(cell).project is GatedCell.project
            and cell.norm_ih is None
            and not cell.raw
            and (noise is None or noise.input_mask is None)
            and weight.dtype == run.x.dtype
            and weight.dtype in REALS
            and weight.nbytes <= NEAR_BYTES
        )

    def kernel_run(self, kernel: Any, cell: GatedCell, masks: Masks, form: Form) -> CompiledRun:
        """One run over a sequence."""
        sizes = cell.hidden_size, cell.recurrent_size
        return CompiledRun(kernel, *sizes, masks, form.reverse, form.keep)
