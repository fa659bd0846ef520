"""Runs any gated cell on a GPU by Triton kernels made from its own equations.

``update`` is traced into elementwise expressions and differentiated by autograd's own rules. One
kernel runs all steps: its programs each have some rows and some units, keep their part of the
recurrent matrix on the chip where it fits, and meet at every step. With ``layer_norm``,
``proj_size`` or more than two recurrent products, kernels are launched at each step instead. The
input projection is one matrix product before the steps; the gradients of the recurrent matrix and
of the biases are one after them.
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
from seqlab.engines.triton.precision import recurrent_tf32
from seqlab.engines.triton.tiling import CROWDED_UNITS, Place, tiles

if TYPE_CHECKING:
    from seqlab.engines.triton.cell_kernels import Kernels, StepKernels
    from seqlab.engines.triton.recurrence import TritonRun
    from seqlab.engines.triton.stepwise import StepRun

#: Seconds to write and compile the kernels of one cell, rounded up.
COMPILE_SECONDS = 3.0
#: Measured on an H100 and an H200 (docs/benchmarks_cuda.md); on a CPU it is for tests only.
COST = Cost(step=1.0, rate=1.0, gpu=OnGpu(call=1.3e-3, step=3e-6, rate=6e13))
#: Where the matrix is read in pieces, for products of several parts leave it no room.
CROWDED = COST._replace(gpu=OnGpu(call=1.3e-3, step=2e-5, rate=6e13))
CROWDED_WIDE = COST._replace(gpu=OnGpu(call=1.3e-3, step=4.5e-5, rate=6e13))
#: Of GPUs that have the types of its products.
LEAST_CAPABILITY = (8, 0)
#: Why ``auto`` leaves kernels of single steps out.
UNMEASURED = "its kernels of single steps were not timed on a GPU yet; ask for it by name"
#: Launches by torch that take as long as one by Triton, which has all arguments to look at.
TRITON_LAUNCHES = 3


class TritonEngine(TracedEngine):
    """Runs gated cells on a GPU.

    With ``SEQLAB_CUDA_GRAPHS=1`` in the environment the launches of cells that have some at each
    step (``layer_norm``, ``proj_size``, more than two recurrent products) become CUDA graphs: a
    loop is captured when ten calls of its form have come. Nobody has run that on a GPU yet.
    """

    name = "triton"
    takes_blocks = True
    time_major = False

    @property
    def device(self) -> str:  # type: ignore[override]  # read only
        """``cuda``, or ``cpu`` where Triton's interpreter stands in for a device."""
        return "cpu" if triton_presence.interpreted() else "cuda"

    def unavailable(self) -> str | None:
        """Why no kernel can run on this machine."""
        if not triton_presence.installed():
            return triton_presence.MISSING
        if triton_presence.interpreted():
            return None
        if torch.version.hip is not None:
            return "its kernels are for NVIDIA's GPUs"
        return None if torch.cuda.is_available() else "torch sees no CUDA device"

    def offer(self, cell: Cell, run: Sequence) -> Offer | str:
        """A cell that is not gated, or not on a GPU, is refused."""
        reason = self.unavailable() or self.refusal(cell, run) or _too_old(run.x.device)
        if reason is not None:
            return reason
        gated = cast("GatedCell", cell)
        stepwise = at_each_step(gated)
        why = "its equations are one Triton kernel"
        if stepwise is not None:
            why = f"its equations are Triton kernels, launched at each step ({stepwise})"
        cost = _cost(gated) if stepwise is None else _cost_of_steps(gated)
        offer = cost.offer(cell, run.x, why, setup_seconds=COMPILE_SECONDS)
        return offer if stepwise is None else offer._replace(by_name=UNMEASURED)

    def kernel(
        self, cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool
    ) -> Kernels | StepKernels | str:
        """The cell's kernels."""
        from seqlab.engines.triton import cell_kernels

        if at_each_step(cell) is None:
            return cell_kernels.kernels_of(cell, dtype, zoneout_masks=zoneout_masks)
        return cell_kernels.step_kernels_of(cell, dtype, zoneout_masks=zoneout_masks)

    def settled(self, cell: GatedCell) -> bool:
        """See ``TracedEngine.settled``."""
        from seqlab.engines.triton import cell_kernels

        return cell_kernels.settled(cell, steps=at_each_step(cell) is not None)

    def kernel_run(
        self, kernel: Any, cell: GatedCell, masks: Masks, form: Form
    ) -> TritonRun | StepRun:
        """One run over a sequence."""
        place = _place(cell, form.half)
        if at_each_step(cell) is None:
            from seqlab.engines.triton.recurrence import TritonRun

            return TritonRun(kernel, cell.hidden_size, masks, form, place)
        from seqlab.engines.triton import graphs
        from seqlab.engines.triton.stepwise import StepRun

        sizes, graphed = (cell.hidden_size, cell.recurrent_size), graphs.asked_for()
        return StepRun(kernel, *sizes, masks, form, place, cell if graphed else None)


@functools.cache
def _too_old(device: torch.device) -> str | None:
    """Why a device cannot multiply as the kernels do: bfloat16 and TF32 came with Ampere."""
    if device.type != "cuda":
        return None
    found = torch.cuda.get_device_capability(device)
    if found >= LEAST_CAPABILITY:
        return None
    return "its kernels need compute capability 8.0, the device has {}.{}".format(*found)


def at_each_step(cell: GatedCell) -> str | None:
    """Why the kernel of all steps does not serve a cell, which is then launched step by step."""
    if cell.layer_norm:
        return "layer_norm needs all gates of a row"
    if cell.proj_size is not None:
        return "proj_size is a product of its own"
    if len(cell.chain) > 2:
        return f"it has {len(cell.chain)} recurrent products"
    return None


def _cost(cell: GatedCell) -> Cost:
    half = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None
    place = _place(cell, half)
    gates = max(1, len(cell.recurrent_gates))
    size = None if cell.heads == 1 else cell.hidden_size // cell.heads
    if place.precision != "tf32x3" or tiles(cell.hidden_size, gates, place, size).resident:
        return COST
    return CROWDED if cell.hidden_size <= CROWDED_UNITS else CROWDED_WIDE


def _cost_of_steps(cell: GatedCell) -> Cost:
    """Not measured: what a step launches forward and backward."""
    products = sum(bool(product.gates) for product in cell.chain)
    ours = 2 * len(cell.chain) + (2 * products if cell.layer_norm else 0)
    torchs = 2 * products
    if cell.proj_size is not None:
        torchs += 2 * (1 if cell.projects_state else products)
        ours += 2 if cell.projects_state else 0
    return Cost(step=1.0, rate=1.0, launches=TRITON_LAUNCHES * ours + torchs)


def _precision(cell: GatedCell, half: torch.dtype | None, *, interpreted: bool) -> str:
    """How products are computed: as torch's own recurrent kernels do by default."""
    if half is not None:
        return {torch.bfloat16: "bf16", torch.float16: "fp16"}[half]
    if interpreted:
        return "ieee"
    if cell.weight_ih.dtype == torch.float64:
        return "sum"
    return "tf32" if recurrent_tf32() else "tf32x3"


def _place(cell: GatedCell, half: torch.dtype | None) -> Place:
    processors, memory = _chip(cell.weight_ih.device)
    return Place(processors, memory, _precision(cell, half, interpreted=processors == 1))


@functools.cache
def _chip(device: torch.device) -> tuple[int, int]:
    """Programs that run at once, and the memory of each; the interpreter runs one by one."""
    if triton_presence.interpreted():
        return 1, 1 << 30
    found = torch.cuda.get_device_properties(device)
    # what a kernel may ask for; torch's stubs do not know the name
    memory = getattr(found, "shared_memory_per_block_optin", found.shared_memory_per_block)
    return found.multi_processor_count, memory
