"""The intersection RNN."""

from __future__ import annotations

from typing import Any

import torch
from seqlab import GatedCell, HiddenState
from torch import Tensor


class IntersectionRNN(GatedCell):
    """Two coupled units: one remembers over time, one passes the input on to the next layer.

    Collins, Sohl-Dickstein and Sussillo, "Capacity and trainability in recurrent neural networks"
    (2017), the +RNN.

        y'_t = relu(W_y x_t + U_y h_{t-1} + b_y)
        h'_t = tanh(W_h x_t + U_h h_{t-1} + b_h)
        g_t = sigmoid(W_g x_t + U_g h_{t-1} + b_g)
        s_t = sigmoid(W_s x_t + U_s h_{t-1} + b_s)
        y_t = g_t * x_t + (1 - g_t) * y'_t                 output
        h_t = s_t * h_{t-1} + (1 - s_t) * h'_t             state

    The input must be as wide as the state.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(IntersectionRNN(5, 5))(torch.zeros(2, 7, 5))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("depth", "candidate", "output", "keep")
    State = HiddenState
    raw = {"skip": "all"}  # noqa: RUF012

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        depth = torch.relu(x.depth + h.depth)
        candidate = self.activation(x.candidate + h.candidate)
        g = self.recurrent_activation(x.output + h.output)
        s = self.recurrent_activation(x.keep + h.keep)
        output = g * x.skip + (1 - g) * depth
        return output, HiddenState(s * state.hidden + (1 - s) * candidate)
