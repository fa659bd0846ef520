"""The vendors' kernels (oneDNN, ATen, cuDNN) behind the same contract, with masks of any form.

A masked step changes nothing, so the real steps of each row can be moved together and moved back
after the run: masks with holes cost two gathers.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, cast

import torch
from torch import Tensor

from seqlab.cells.base import Cell, read_parameters
from seqlab.cells.gated import GatedCell
from seqlab.cells.noise import Noise
from seqlab.engines.base import Engine, Offer, RunCall, Sequence, Stack, StepCall, starts
from seqlab.engines.cost import Cost, Forward, OnGpu
from seqlab.engines.fused.cell_stack import (
    form_of,
    joins_masked,
    run_alone,
    run_levels,
    runs_alone,
)
from seqlab.types import State

_STEPS: dict[str, Any] = {
    "gru": torch.gru_cell, "rnn_tanh": torch.rnn_tanh_cell, "rnn_relu": torch.rnn_relu_cell,
}  # fmt: skip
_WEIGHTS = ("weight_ih", "weight_hh", "bias", "recurrent_bias")

STRENGTH = "a vendor's kernel computes this cell with its options"
#: By kernel; the plain ones are ``OTHER``.
COSTS = {
    "lstm": Cost(2.6e-5, 1.3e11, call=1.5e-4, forward=Forward(8e-6, 1.3e11, call=9e-5),
                 stepping=Forward(0.0, 9e10, call=2.6e-5)),
    "gru": Cost(2.1e-4, 1e11, call=1.5e-4, forward=Forward(2.9e-5, 7.5e10, call=4e-5),
                stepping=Forward(0.0, 9e10, call=2.5e-5)),
}  # fmt: skip
OTHER = Cost(7e-5, 1.2e11, call=1.5e-4, forward=Forward(1.2e-5, 7.7e10, call=4e-5),
             stepping=Forward(0.0, 9e10, call=1.6e-5))  # fmt: skip
#: cuDNN keeps layers of few units on the chip; in larger ones each step is launches.
SMALL = 128
ON_GPU_SMALL = OnGpu(call=1.3e-3, step=1e-6, rate=6e13)
ON_GPU_LARGE = OnGpu(call=1.3e-3, step=2.5e-5, rate=6e13)
#: What running the padding of a masked batch adds to each step.
PADDING = 6e-5


class FusedEngine(Engine):
    """Runs the cells whose step, options included, a vendor's kernel computes.

    Masks may have any form. Layers of one kind with nothing between them, both directions
    included, are one run (``offer_stack``).
    """

    name = "fused"

    def offer(self, cell: Cell, run: Sequence) -> Offer | str:
        """A cell is refused for its own reason (see ``Cell.vendor_kernel``)."""
        kernel = cell.vendor_kernel()
        if not kernel.name:
            return kernel.reason
        return _offer(cell, kernel.name, run)

    def offer_step(self, cell: Cell, run: Sequence) -> Offer | str:
        """A cell whose state is narrowed has no step of the vendor's, and the loop takes it."""
        kernel = cell.vendor_kernel()
        if not kernel.name:
            return kernel.reason
        return COSTS.get(kernel.name, OTHER).of_steps().offer(cell, run.x, STRENGTH)

    def step(self, cell: Cell, x_BD: Tensor, state: State) -> tuple[Tensor, State] | None:
        """One step by the vendor's cell; None for a cell it does not compute."""
        return self.ready_step(cell)(x_BD, state)

    def ready_step(self, cell: Cell) -> StepCall:
        """See ``Engine.ready_step``."""
        name, make = cell.vendor_kernel().name, cell.State
        if name is None or cast("GatedCell", cell).weight_hr is not None:
            return _no_step
        kernel: Any = torch.lstm_cell if name == "lstm" else _STEPS[name]

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

    def run(self, cell: Cell, run: Sequence) -> tuple[Tensor, State]:
        """All steps; see ``Engine.run``."""
        x_BTD, state, mask, reverse, noise = run
        gated = cast("GatedCell", cell)
        sampled = cast("Noise | None", noise)
        if sampled is not None and sampled.input_mask is not None:
            x_BTD = x_BTD * sampled.input_mask
        if runs_alone(x_BTD, mask):
            kernel = cast("str", cell.vendor_kernel().name)
            return run_alone(gated, kernel, x_BTD, state, reverse=reverse, noise=sampled)
        output, (final,) = run_levels(
            [[gated]], x_BTD, [state], mask, reverse=reverse, noise=sampled
        )
        return output, final

    def ready_run(self, cell: Cell, run: Sequence) -> RunCall:
        """See ``Engine.ready_run``: which kernel it is, is asked once."""
        gated, reverse, kernel = cast("GatedCell", cell), run.reverse, cell.vendor_kernel().name
        if kernel is None or not runs_alone(run.x, run.mask):
            return super().ready_run(cell, run)
        start = starts(cell, run, only_read=True)

        def again(
            x_BTD: Tensor, state: State | None, mask: Tensor | None
        ) -> tuple[Tensor, State] | None:
            del mask  # there is none in runs of this form
            state = start(x_BTD, state)
            if state is None:
                return None
            return run_alone(gated, kernel, x_BTD, state, reverse=reverse, noise=None)

        return again

    def ready_training_run(self, cell: Cell, run: Sequence) -> RunCall:
        """See ``Engine.ready_training_run``."""
        return FusedEngine.ready_run(self, cell, run)

    def stack_form(self, cell: Cell) -> Hashable | None:
        """The kernel and the sizes that all cells of one call share."""
        return form_of(cell)

    def offer_stack(self, stack: Stack, run: Sequence) -> Offer | str:
        """Levels of one form are one call, for masked batches on a CPU one call each."""
        forms = {form_of(cell) for cell in stack.cells}
        form, *others = forms
        if form is None or others:
            return "the cells are not of one form that a vendor's kernel computes"
        if run.mask is not None and not joins_masked(
            form, len(stack.levels[0]), run.x, at_rest=stack.at_rest
        ):
            return "for this masked batch a call for each cell is faster"
        seconds, x_BTD = 0.0, run.x
        for level in stack.levels:
            seconds += sum(
                _offer(c, form.kernel, run._replace(x=x_BTD)).call_seconds for c in level
            )
            # the estimate looks at the form alone
            x_BTD = run.x[..., :1].expand(-1, -1, sum(cell.output_size for cell in level))
        return Offer(0.0, seconds, STRENGTH)

    def run_stack(self, stack: Stack, run: Sequence) -> tuple[Tensor, list[State]]:
        """One call where possible; see ``run_levels``."""
        levels = [[cast("GatedCell", cell) for cell in level] for level in stack.levels]
        return run_levels(
            levels, run.x, run.state, run.mask, reverse=run.reverse, at_rest=stack.at_rest
        )


def _offer(cell: Cell, kernel: str, run: Sequence) -> Offer:
    small = cell.hidden_size <= SMALL
    cost = COSTS.get(kernel, OTHER)._replace(gpu=ON_GPU_SMALL if small else ON_GPU_LARGE)
    if run.mask is not None:
        cost = cost.with_steps_of(PADDING)
    return cost.offer(cell, run.x, STRENGTH)


def _no_step(x_BD: Tensor, state: State) -> None:
    """The step of a cell that the vendor's cells do not compute."""
    del x_BD, state
