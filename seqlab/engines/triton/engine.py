"""Runs any gated cell on a GPU by Triton kernels made from its own equations.

``update`` is traced into elementwise expressions and differentiated by autograd's own rules. One
kernel runs all steps: its programs each have some rows and some units, keep their part of the
recurrent matrix on the chip where it fits, and meet at every step. The input projection is one
matrix product before it; the gradients of the recurrent matrix and of the biases are one after it.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from typing import TYPE_CHECKING, Any

import torch

from seqlab.cells.base import Cell
from seqlab.cells.gated import GatedCell
from seqlab.engines.base import Offer, Sequence
from seqlab.engines.cost import Cost, OnGpu
from seqlab.engines.traced.engine import Form, Masks, TracedEngine
from seqlab.engines.triton.tiling import Place

if TYPE_CHECKING:
    from seqlab.engines.triton.cell_kernels import Kernels
    from seqlab.engines.triton.recurrence import TritonRun

#: Seconds to write and compile the kernels of one cell, rounded up.
COMPILE_SECONDS = 5.0
#: Measured on an H200 (docs/benchmarks_cuda.md); on a CPU it is for tests only.
COST = Cost(step=1.0, rate=1.0, gpu=OnGpu(call=1e-3, step=8e-6, rate=3e13))


class TritonEngine(TracedEngine):
    """Runs gated cells on a GPU."""

    name = "triton"
    time_major = False

    @property
    def device(self) -> str:  # type: ignore[override]  # read only
        """``cuda``, or ``cpu`` where Triton's interpreter stands in for a device."""
        return "cpu" if _interpreted() else "cuda"

    def unavailable(self) -> str | None:
        """Why no kernel can run on this machine."""
        if not _installed():
            return "Triton is not installed (pip install 'seqlab[triton]')"
        if _interpreted() or torch.cuda.is_available():
            return None
        return "torch sees no CUDA device"

    def offer(self, cell: Cell, run: Sequence) -> Offer | str:
        """A cell that is not gated, not on a GPU, or does more than its equations is refused."""
        reason = self.unavailable() or self.refusal(cell, run)
        if reason is None:
            assert isinstance(cell, GatedCell)  # noqa: S101  # by the refusal
            reason = _options(cell)
        why = "its equations are one Triton kernel"
        return reason or COST.offer(cell, run.x, why, setup_seconds=COMPILE_SECONDS)

    def kernel(self, cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool) -> Kernels | str:
        """The cell's kernels."""
        from seqlab.engines.triton.cell_kernels import kernels_of

        return kernels_of(cell, dtype, zoneout_masks=zoneout_masks)

    def kernel_run(self, kernel: Any, cell: GatedCell, masks: Masks, form: Form) -> TritonRun:
        """One run over a sequence."""
        from seqlab.engines.triton.recurrence import TritonRun

        place = Place(_processors(cell.weight_hh.device), _precision(cell, form.half))
        return TritonRun(kernel, cell.hidden_size, masks, form, place)


def _options(cell: GatedCell) -> str | None:
    """Options that the kernels do not know."""
    if cell.layer_norm:
        return "its kernels have no layer_norm"
    return None if cell.proj_size is None else "its kernels have no proj_size"


def _precision(cell: GatedCell, half: torch.dtype | None) -> str:
    """How products are computed: as torch's own recurrent kernels do by default."""
    if half is not None:
        return {torch.bfloat16: "bf16", torch.float16: "fp16"}[half]
    if _interpreted():
        return "ieee"
    if cell.weight_hh.dtype == torch.float64:
        return "sum"
    return "tf32" if torch.backends.cudnn.allow_tf32 else "tf32x3"


@functools.cache
def _processors(device: torch.device) -> int:
    """Programs that run at once; the interpreter runs one after the other."""
    if _interpreted():
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count


@functools.cache
def _installed() -> bool:
    return importlib.util.find_spec("triton") is not None


def _interpreted() -> bool:
    """Whether Triton runs kernels on the CPU (TRITON_INTERPRET=1), to test them."""
    return os.environ.get("TRITON_INTERPRET") == "1"
