"""The vendors' kernels (oneDNN, ATen, cuDNN) behind the same contract, with masks of any form.

A masked step changes nothing, so the real steps of each row can be moved together and moved back
after the run: masks with holes cost two gathers.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from seqlab.cells.base import Cell
from seqlab.cells.gated import GatedCell
from seqlab.cells.noise import Noise
from seqlab.engines.base import Engine
from seqlab.engines.fused.cell_stack import run_levels
from seqlab.types import State

_STEPS: dict[str, Any] = {
    "gru": torch.gru_cell, "rnn_tanh": torch.rnn_tanh_cell, "rnn_relu": torch.rnn_relu_cell,
}  # fmt: skip


class FusedEngine(Engine):
    """Runs the cells whose step, options included, a vendor's kernel computes.

    Masks may have any form. Layers of one kind with nothing between them, both directions
    included, are one run (see ``seqlab.layers.joined``).
    """

    name = "fused"
    strength = "a vendor's kernel computes this cell with its options"

    def refusal(self, cell: Cell, x_BTD: Tensor, noise: Any) -> str | None:
        """The cell's own answer (see ``Cell.vendor_kernel``)."""
        del x_BTD, noise
        kernel = cell.vendor_kernel()
        return None if kernel.name else kernel.reason

    def step(self, cell: Cell, x_BD: Tensor, state: State) -> tuple[Tensor, State] | None:
        """One step by the vendor's cell; None for a cell it does not compute."""
        name = cell.vendor_kernel().name
        if name is None or torch.compiler.is_exporting():
            return None
        gated = cast("GatedCell", cell)
        if gated.weight_hr is not None:
            return None
        weights = (gated.weight_ih, gated.weight_hh, gated.bias, gated.recurrent_bias)
        if name == "lstm":
            final = gated.State(*torch.lstm_cell(x_BD, state, *weights))
        else:
            final = gated.State(_STEPS[name](x_BD, state[0], *weights))
        return final[0], final

    def run(
        self,
        cell: Cell,
        x_BTD: Tensor,
        state: State,
        mask: Tensor | None,
        *,
        reverse: bool,
        noise: Any,
    ) -> tuple[Tensor, State]:
        """All steps; see ``Engine.run``."""
        gated = cast("GatedCell", cell)
        sampled = cast("Noise | None", noise)
        if sampled is not None and sampled.input_mask is not None:
            x_BTD = x_BTD * sampled.input_mask
        output, (final,) = run_levels(
            [[gated]], x_BTD, [state], mask, reverse=reverse, noise=sampled
        )
        return output, final
