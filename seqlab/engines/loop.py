"""The reference engine: ``step`` in a Python loop. Every other engine is tested against it."""

from __future__ import annotations

import torch
from torch import Tensor

from seqlab.cells.base import Cell, next_state
from seqlab.engines.base import Engine, Offer, Sequence
from seqlab.engines.cost import Cost, Forward, OnGpu
from seqlab.engines.over_time import each_time, run_steps
from seqlab.types import State

#: Each step is some twenty operations started from Python, and as many backward.
COST = Cost(step=4e-4, rate=8e10, gpu=OnGpu(call=3e-4, step=5e-4, rate=1e13),
            forward=Forward(step=7e-5, rate=5e10))  # fmt: skip


class LoopEngine(Engine):
    """Runs every cell, one step after the other."""

    name = "loop"
    transformable = True

    def offer(self, cell: Cell, run: Sequence) -> Offer:
        """It never refuses."""
        return COST.offer(cell, run.x, "it runs every cell")

    def run(self, cell: Cell, run: Sequence) -> tuple[Tensor, State]:
        """All steps; see ``Engine.run``."""
        x_BTD, state, mask, reverse, noise = run
        advance = cell.stepper()
        projected = each_time(cell.project(x_BTD) if noise is None else cell.project(x_BTD, noise))

        def step(t: int, before: State) -> tuple[Tensor, State]:
            extra = () if noise is None else (noise.at(t),)
            return next_state(cell, advance(projected[t], before, *extra), before)

        outputs, state = run_steps(step, x_BTD.shape[1], state, mask, reverse=reverse)
        return torch.stack(outputs, 1), state
