"""The chaos-free network."""

from __future__ import annotations

from typing import Any

from seqlab import GatedCell, HiddenState
from torch import Tensor


class CFN(GatedCell):
    """A gated unit whose states come to rest without input.

    Laurent and von Brecht, "A recurrent neural network without chaos" (2017).

        o_t = sigmoid(W_o x_t + U_o h_{t-1} + b_o)         horizontal gate
        i_t = sigmoid(W_i x_t + U_i h_{t-1} + b_i)         vertical gate
        h_t = o_t * tanh(h_{t-1}) + i_t * tanh(W_g x_t + b_g)

    Deviation: the candidate has a bias, as in torchrecurrent; the paper's has none.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(CFN(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    input_gates = ("horizontal", "vertical", "candidate")
    recurrent_gates = ("horizontal", "vertical")
    State = HiddenState

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        o = self.recurrent_activation(x.horizontal + h.horizontal)
        i = self.recurrent_activation(x.vertical + h.vertical)
        hidden = o * self.activation(state.hidden) + i * self.activation(x.candidate)
        return hidden, HiddenState(hidden)
