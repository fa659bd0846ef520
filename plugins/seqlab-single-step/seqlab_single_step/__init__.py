"""An engine for sequences of one step or a few: a call of the vendor's one-step kernel for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from seqlab import Cell, Engine, GatedCell, Offer
from seqlab.cells.base import read_parameters
from seqlab.engines.base import Sequence
from seqlab.engines.cost import Cost
from seqlab.engines.over_time import run_steps
from seqlab.types import State
from torch import Tensor

_KERNELS: dict[str, Any] = {
    "lstm": torch.lstm_cell, "gru": torch.gru_cell,
    "rnn_tanh": torch.rnn_tanh_cell, "rnn_relu": torch.rnn_relu_cell,
}  # fmt: skip
#: Seconds of one step on a CPU, against which a call for whole sequences has 1.5e-4 of its own.
COSTS = {
    "lstm": Cost(step=1.4e-4, rate=8e10, launches=6),
    "gru": Cost(step=2.5e-4, rate=8e10, launches=6),
}
_WEIGHTS = ("weight_ih", "weight_hh", "bias", "recurrent_bias")
OTHER = Cost(step=2e-4, rate=8e10, launches=6)


class SingleStepEngine(Engine):
    """Runs rnn, lstm and gru cells step by step: ``state_t = kernel(x_t, state_{t-1})``.

    Cells and options that the vendor's kernels do not compute, ``proj_size`` and random masks are
    refused. Of two engines that give the same numbers it is the cheaper one for a single step.
    """

    name = "single_step"

    def offer(self, cell: Cell, run: Sequence) -> Offer | str:
        """So many seconds a step, whatever the length."""
        kernel = cell.vendor_kernel()
        if kernel.name is None:
            return kernel.reason
        if run.noise is not None:
            return "it applies no random masks"
        if cast("GatedCell", cell).weight_hr is not None:
            return "the vendor's one-step kernels have no proj_size"
        why = "a call of the vendor's kernel for one step is cheap"
        return COSTS.get(kernel.name, OTHER).offer(cell, run.x, why)

    def run(self, cell: Cell, run: Sequence) -> tuple[Tensor, State]:
        """All steps; see ``seqlab.engines.base.Engine.run``."""
        step = self.ready_step(cell)
        outputs, state = run_steps(
            lambda t, before: step(run.x[:, t], before),
            run.x.shape[1], run.state, run.mask, reverse=run.reverse,
        )  # fmt: skip
        return torch.stack(outputs, 1), state

    def step(self, cell: Cell, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        """One step of streaming."""
        return self.ready_step(cell)(x_BD, state)

    def ready_step(self, cell: Cell) -> Callable[[Tensor, State], tuple[Tensor, State]]:
        """The same, for many steps: the kernel is looked up once."""
        name, make = cast("str", cell.vendor_kernel().name), cell.State
        kernel = _KERNELS[name]

        def step(x_BD: Tensor, state: State) -> tuple[Tensor, State]:
            weights = read_parameters(cell, _WEIGHTS)
            if x_BD.device.type != "cpu" and weights[2] is not None and weights[3] is None:
                # CUDA's kernels take two biases or none
                weights = [*weights[:3], torch.zeros_like(weights[2])]
            if name == "lstm":
                hidden, memory = kernel(x_BD, state, *weights)
                return hidden, make(hidden, memory)
            hidden = kernel(x_BD, state[0], *weights)
            return hidden, make(hidden)

        return step
