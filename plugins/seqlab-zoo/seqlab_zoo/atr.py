"""The addition-subtraction twin-gated unit."""

from __future__ import annotations

from typing import Any

from seqlab import GatedCell, HiddenState
from torch import Tensor


class ATR(GatedCell):
    """Two gates from the sum and the difference of the same two products.

    Zhang, Xiong, Su, Lin and Zhang, "Simplifying neural machine translation with
    addition-subtraction twin-gated recurrent networks" (2018).

        p_t = W x_t + b,    q_t = U h_{t-1} + b'
        i_t = sigmoid(p_t + q_t)
        f_t = sigmoid(p_t - q_t)
        h_t = i_t * p_t + f_t * h_{t-1}

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(ATR(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("candidate",)
    State = HiddenState
    recurrent_bias_gates = True

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        i = self.recurrent_activation(x.candidate + h.candidate)
        f = self.recurrent_activation(x.candidate - h.candidate)
        hidden = i * x.candidate + f * state.hidden
        return hidden, HiddenState(hidden)
