"""Runs recurrences that are linear in their state: what the input gives for all times at once.

Vectors are scanned; matrices (``MatrixStateCell``) are taken by chunks of steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from seqlab.cells.around import OptionNoise
from seqlab.cells.base import Cell, HiddenState
from seqlab.cells.linear import LinearRecurrentCell
from seqlab.cells.matrix import MatrixStateCell
from seqlab.engines.base import Engine, Offer, Sequence
from seqlab.engines.cost import Cost, OnGpu
from seqlab.engines.scan import tile_pass
from seqlab.engines.scan.linear_pass import linear_pass, runs_here
from seqlab.engines.scan.linear_scan import masked_scan
from seqlab.engines.scan.matrix_chunks import run_chunks
from seqlab.registry import spoken
from seqlab.types import State

#: Values of the state at all steps up to which a sequence is run at once on a CPU.
MOST_AT_ONCE = 1 << 21
#: As many of a longer one make a part; coefficients and gradients then stay in the cache.
PART = 1 << 19
#: Steps below which a part costs more than it gives.
SHORTEST_PART = 32

#: ``launches`` are those of torch's operations; with Triton a call has the same few for any T.
COST = Cost(step=5e-6, rate=1e11, call=1e-4, launches=2)
#: Of matrix memories: each chunk is some fifteen operations, and as many backward.
CHUNKED = Cost(step=2e-5, rate=5e10, call=3e-4, launches=1)
TILED = COST._replace(gpu=OnGpu(call=1.4e-3, step=1e-7, rate=6e13))


class ScanEngine(Engine):
    """Runs ``LinearRecurrentCell``s by a scan, and ``MatrixStateCell``s by chunks of steps.

    On a CPU with a compiler the recurrence itself is one compiled pass over time, on a GPU with
    Triton one kernel that scans tiles of it, elsewhere an associative scan in torch's operations.
    """

    name = "scan"

    def offer(self, cell: Cell, run: Sequence) -> Offer | str:
        """Not a linear recurrence, or one with a step or noise of its own, is refused."""
        kinds = (MatrixStateCell, LinearRecurrentCell)
        kind = next((kind for kind in kinds if isinstance(cell, kind)), None)
        if kind is None:
            return f"{spoken('cell', cell)} is not a LinearRecurrentCell"
        if type(cell).step is not kind.step:
            return f"{spoken('cell', cell)} has its own step"
        if run.noise is not None and not isinstance(run.noise, OptionNoise):
            return f"{spoken('cell', cell)} draws noise of its own for each step"
        if kind is MatrixStateCell:
            if any(cell.option_rates.zoneout):
                return "zoneout keeps columns of the memory, and a chunk of steps decays as a whole"
            return CHUNKED.offer(cell, run.x, "chunks of steps are matrix products")
        return _offer_scan(cell, run)

    def run(self, cell: Cell, run: Sequence) -> tuple[Tensor, State]:
        """All steps; see ``Engine.run``."""
        x_BTD, state, mask, reverse, noise = run
        if isinstance(cell, MatrixStateCell):
            return run_chunks(cell, x_BTD, state, mask, reverse=reverse, noise=noise)
        linear = cast("LinearRecurrentCell", cell)
        steps = x_BTD.shape[1]
        length = _part_length(linear, x_BTD)
        if length >= steps:
            return _run(linear, run)
        outputs: list[Tensor] = []
        order = range(0, steps, length)
        for start in reversed(order) if reverse else order:
            part = slice(start, start + length)
            masks = None if noise is None else noise.between(part.start, part.stop)
            real = None if mask is None else mask[:, part]
            output, state = _run(linear, Sequence(x_BTD[:, part], state, real, reverse, masks))
            outputs.append(output)
        return torch.cat(outputs[::-1] if reverse else outputs, 1), state


def _offer_scan(cell: Cell, run: Sequence) -> Offer:
    why = "the recurrence is linear, so its coefficients are computed for all steps at once"
    # compiling the pass takes half a second, once a machine, and is the same for every cell
    if run.x.device.type != "cuda":
        return COST.offer(cell, run.x, why)
    reason = tile_pass.missing(run.x, run.x.dtype)
    if reason is not None:
        return COST.offer(cell, run.x, f"{why}; {reason}")
    return TILED.offer(cell, run.x, why)


def _part_length(cell: LinearRecurrentCell, x_BTD: Tensor) -> int:
    """Steps to run at once: all, or so many that their values stay in a processor's cache."""
    batch, steps, _ = x_BTD.shape
    if x_BTD.device.type != "cpu" or batch * steps * cell.hidden_size <= MOST_AT_ONCE:
        return steps
    return max(SHORTEST_PART, PART // (batch * cell.hidden_size))


def _way(like: Tensor, dtype: torch.dtype) -> Callable[..., tuple[Tensor, Tensor]]:
    """The fastest pass where values lie."""
    if like.device.type == "cpu":
        return linear_pass if runs_here(like, dtype) else masked_scan
    return masked_scan if tile_pass.missing(like, dtype) else tile_pass.tile_pass


def _run(cell: LinearRecurrentCell, run: Sequence) -> tuple[Tensor, State]:
    """All steps of a sequence or of a part of one."""
    x_BTD, state, mask, reverse, noise = run
    x, a, b = cell.project(x_BTD) if noise is None else cell.project(x_BTD, noise)
    start = cell.unpack(state[0])
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), start.dtype)
    pass_over = _way(b, dtype)
    h, last = pass_over(a.to(dtype), b.to(dtype), start.to(dtype), mask, reverse=reverse)
    output = cell.readout(x, h)
    if mask is not None:
        output = output.masked_fill(~mask.unsqueeze(-1), 0.0)
    return output, HiddenState(cell.pack(last))
