"""Cells with a state or an output that ``proj_size`` narrows, for the engines' tests."""

from __future__ import annotations

from typing import NamedTuple

import seqlab
import torch
from seqlab.cells.base import HiddenState
from torch import Tensor


class Fed(seqlab.GatedCell):
    """A narrowed state that only the product reads, beside one that the equations read."""

    class State(NamedTuple):
        shown: Tensor
        memory: Tensor

    gates = ("write", "show")
    projects_state = True
    vectors = {"slope": "ones"}  # noqa: RUF012  # as the base class declares it

    def update(self, x, h, state):
        memory = 0.5 * state.memory + torch.tanh(x.write + h.write) * self.slope
        output = torch.sigmoid(x.show * h.show) * torch.sin(memory)
        return output, self.State(output, memory)


class Aside(seqlab.GatedCell):
    """An output that is no state, and is projected after the loop."""

    gates = ("write",)
    State = HiddenState

    def update(self, x, h, state):
        hidden = 0.3 * state.hidden + torch.tanh(x.write + h.write)
        return torch.cos(hidden) * x.write, HiddenState(hidden)
