"""Runs any gated cell on a GPU by Triton kernels made from its own equations.

``update`` is traced into elementwise expressions and differentiated by autograd's own rules. One
kernel runs all steps: its programs each have some rows and some units, keep their part of the
recurrent matrix on the chip where it fits, and meet at every step. The input projection is one
matrix product before it; the gradients of the recurrent matrix and of the biases are one after it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, cast

import torch

from seqlab.cells.base import Cell
from seqlab.cells.gated import GatedCell
from seqlab.engines import triton_presence
from seqlab.engines.base import Offer, Sequence
from seqlab.engines.cost import Cost, OnGpu
from seqlab.engines.traced.engine import Form, Masks, TracedEngine
from seqlab.engines.triton.tiling import CROWDED_UNITS, Place, tiles

if TYPE_CHECKING:
    from seqlab.engines.triton.cell_kernels import Kernels
    from seqlab.engines.triton.recurrence import TritonRun

#: Seconds to write and compile the kernels of one cell, rounded up.
COMPILE_SECONDS = 3.0
#: Measured on an H100 and an H200 (docs/benchmarks_cuda.md); on a CPU it is for tests only.
COST = Cost(step=1.0, rate=1.0, gpu=OnGpu(call=1.3e-3, step=3e-6, rate=6e13))
#: Where the matrix is read in pieces, for products of several parts leave it no room.
CROWDED = COST._replace(gpu=OnGpu(call=1.3e-3, step=2e-5, rate=6e13))
CROWDED_WIDE = COST._replace(gpu=OnGpu(call=1.3e-3, step=4.5e-5, rate=6e13))


class TritonEngine(TracedEngine):
    """Runs gated cells on a GPU."""

    name = "triton"
    time_major = False

    @property
    def device(self) -> str:  # type: ignore[override]  # read only
        """``cuda``, or ``cpu`` where Triton's interpreter stands in for a device."""
        return "cpu" if triton_presence.interpreted() else "cuda"

    def unavailable(self) -> str | None:
        """Why no kernel can run on this machine."""
        if not triton_presence.installed():
            return triton_presence.MISSING
        if triton_presence.interpreted() or torch.cuda.is_available():
            return None
        return "torch sees no CUDA device"

    def offer(self, cell: Cell, run: Sequence) -> Offer | str:
        """A cell that is not gated, not on a GPU, or does more than its equations is refused."""
        reason = self.unavailable() or self.refusal(cell, run)
        if reason is None:
            assert isinstance(cell, GatedCell)  # noqa: S101  # by the refusal
            reason = _options(cell)
        if reason is not None:
            return reason
        why = "its equations are one Triton kernel"
        cost = _cost(cast("GatedCell", cell))
        return cost.offer(cell, run.x, why, setup_seconds=COMPILE_SECONDS)

    def kernel(self, cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool) -> Kernels | str:
        """The cell's kernels."""
        from seqlab.engines.triton.cell_kernels import kernels_of

        return kernels_of(cell, dtype, zoneout_masks=zoneout_masks)

    def kernel_run(self, kernel: Any, cell: GatedCell, masks: Masks, form: Form) -> TritonRun:
        """One run over a sequence."""
        from seqlab.engines.triton.recurrence import TritonRun

        return TritonRun(kernel, cell.hidden_size, masks, form, _place(cell, form.half))


def _cost(cell: GatedCell) -> Cost:
    half = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None
    place = _place(cell, half)
    gates = max(1, len(cell.recurrent_gates))
    if place.precision != "tf32x3" or tiles(cell.hidden_size, gates, place).resident:
        return COST
    return CROWDED if cell.hidden_size <= CROWDED_UNITS else CROWDED_WIDE


def _options(cell: GatedCell) -> str | None:
    """Options that the kernels do not know."""
    if cell.layer_norm:
        return "its kernels have no layer_norm"
    if len(cell.chain) > 2:
        return f"its kernels have two recurrent products, not {len(cell.chain)}"
    return None if cell.proj_size is None else "its kernels have no proj_size"


def _precision(cell: GatedCell, half: torch.dtype | None) -> str:
    """How products are computed: as torch's own recurrent kernels do by default."""
    if half is not None:
        return {torch.bfloat16: "bf16", torch.float16: "fp16"}[half]
    if triton_presence.interpreted():
        return "ieee"
    if cell.weight_ih.dtype == torch.float64:
        return "sum"
    return "tf32" if torch.backends.cudnn.allow_tf32 else "tf32x3"


def _place(cell: GatedCell, half: torch.dtype | None) -> Place:
    return Place(*_chip(cell.weight_ih.device), _precision(cell, half))


@functools.cache
def _chip(device: torch.device) -> tuple[int, int]:
    """Programs that run at once, and the memory of each; the interpreter runs one by one."""
    if triton_presence.interpreted():
        return 1, 1 << 30
    found = torch.cuda.get_device_properties(device)
    # what a kernel may ask for; torch's stubs do not know the name
    memory = getattr(found, "shared_memory_per_block_optin", found.shared_memory_per_block)
    return found.multi_processor_count, memory
