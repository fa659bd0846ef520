"""The LSTM with its forget gate alone."""

from __future__ import annotations

from typing import Any

from seqlab import GatedCell, HiddenState
from torch import Tensor


class JANET(GatedCell):
    """Just another network: an LSTM of which the forget gate is left.

    Van der Westhuizen and Lasenby, "The unreasonable effectiveness of the forget gate" (2018).

        s_t = W_f x_t + U_f h_{t-1} + b_f
        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
        h_t = sigmoid(s_t) * h_{t-1} + (1 - sigmoid(s_t - beta)) * g_t

    Deviation: beta, 1 in the paper, is trained from there, as in torchrecurrent. The paper starts
    the biases by ``chrono``.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(JANET(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("forget", "candidate")
    State = HiddenState
    scalars = {"beta": 1.0}  # noqa: RUF012

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        s = x.forget + h.forget
        g = self.activation(x.candidate + h.candidate)
        kept = self.recurrent_activation(s) * state.hidden
        hidden = kept + (1 - self.recurrent_activation(s - self.beta)) * g
        return hidden, HiddenState(hidden)
