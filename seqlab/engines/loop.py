"""The reference engine: ``step`` in a Python loop. Every other engine is tested against it."""

from __future__ import annotations

import torch
from torch import Tensor

from seqlab.cells.base import Cell, map_state, next_state
from seqlab.engines.base import Engine, Offer, Sequence
from seqlab.engines.cost import Cost
from seqlab.engines.over_time import each_time, select
from seqlab.types import State

#: Each step is some twenty operations started from Python, and as many backward.
COST = Cost(step=4e-4, rate=8e10, launches=60)


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
        steps = x_BTD.shape[1]
        projected = each_time(cell.project(x_BTD) if noise is None else cell.project(x_BTD, noise))
        outputs: list[Tensor] = []
        for t in reversed(range(steps)) if reverse else range(steps):
            if noise is None:
                made = cell.step(projected[t], state)
            else:
                made = cell.step(projected[t], state, noise.at(t))
            output, new = next_state(cell, made, state)
            if mask is not None:
                real = mask[:, t]
                new = map_state(lambda n, o, real=real: select(real, n, o), new, state)
                output = select(real, output, torch.zeros_like(output))
            state = new
            outputs.append(output)
        if reverse:
            outputs.reverse()
        return torch.stack(outputs, 1), state
