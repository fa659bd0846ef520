"""Runs linear recurrences: their coefficients for all times at once, then one scan."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from seqlab.cells.base import Cell, HiddenState
from seqlab.cells.linear import LinearRecurrentCell
from seqlab.engines.base import Engine
from seqlab.engines.linear_pass import linear_pass, runs_here
from seqlab.engines.linear_scan import masked_scan
from seqlab.types import State


class ScanEngine(Engine):
    """Runs ``LinearRecurrentCell``s, whose a and b are computed for all times at once.

    On a CPU with a compiler the recurrence itself is one compiled pass over time, elsewhere an
    associative scan in torch's operations.
    """

    name = "scan"
    strength = "the recurrence is linear, so its coefficients are computed for all steps at once"

    def refusal(self, cell: Cell, x_BTD: Tensor, noise: Any) -> str | None:
        """Not a linear recurrence, or one with a step or noise of its own."""
        del x_BTD
        if not isinstance(cell, LinearRecurrentCell):
            return f"{type(cell).__name__} is not a LinearRecurrentCell"
        if type(cell).step is not LinearRecurrentCell.step:
            return f"{type(cell).__name__} has its own step"
        return None if noise is None else f"{type(cell).__name__} draws noise for each step"

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
        del noise
        linear = cast("LinearRecurrentCell", cell)
        x, a, b = linear.project(x_BTD)
        start = linear.unpack(state[0])
        dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), start.dtype)
        run = linear_pass if runs_here(b, dtype) else masked_scan
        h, last = run(a.to(dtype), b.to(dtype), start.to(dtype), mask, reverse=reverse)
        output = linear.readout(x, h)
        if mask is not None:
            output = output.masked_fill(~mask.unsqueeze(-1), 0.0)
        return output, HiddenState(linear.pack(last))
