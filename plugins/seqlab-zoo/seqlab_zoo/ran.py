"""The recurrent additive network, whose memory is a weighted sum of inputs."""

from __future__ import annotations

from typing import Any

from seqlab import GatedCell
from torch import Tensor

from seqlab_zoo.memory_state import MemoryState


class RAN(GatedCell):
    """The recurrent additive network: a memory that is a weighted sum of inputs.

    Lee, Levy and Zettlemoyer, "Recurrent additive networks" (2017).

        i_t = sigmoid(W_i x_t + U_i h_{t-1} + b_i)
        f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)
        c_t = i_t * (W_c x_t + b_c) + f_t * c_{t-1}
        h_t = tanh(c_t)

    Deviation: the content has a bias.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(RAN(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    input_gates = ("content", "input", "forget")
    recurrent_gates = ("input", "forget")
    State = MemoryState

    def update(self, x: Any, h: Any, state: MemoryState) -> tuple[Tensor, MemoryState]:
        """The equations of the class."""
        i = self.recurrent_activation(x.input + h.input)
        f = self.recurrent_activation(x.forget + h.forget)
        cell = i * x.content + f * state.cell
        hidden = self.activation(cell)
        return hidden, MemoryState(hidden, cell)
