"""The minimal gated unit for seqlab."""

from __future__ import annotations

from typing import Any

from seqlab import GatedCell, HiddenState
from torch import Tensor


class MGU(GatedCell):
    """A cell with one gate (Zhou et al., "Minimal gated unit for recurrent neural networks", 2016).

    ``f = sigmoid(W_f x + U_f h + b_f)``, ``c = tanh(W_c x + U_c (f * h) + b_c)``,
    ``h' = (1 - f) * h + f * c``; x is ``[B, D]``, all others ``[B, H]``.

    Args:
        input_size: D.
        hidden_size: H.
        options: those of ``seqlab.GatedCell``.

    Example:
        >>> import torch, seqlab
        >>> output, state = seqlab.Recurrent(MGU(3, 5))(torch.zeros(2, 7, 3))
        >>> output.shape
        torch.Size([2, 7, 5])
    """

    gates = ("forget", "candidate")
    second_gates = ("candidate",)
    State = HiddenState

    def second_input(self, x: Any, h: Any, state: Any) -> Tensor:  # noqa: D102  as the base class
        return self.recurrent_activation(x.forget + h.forget) * state.hidden

    def update(self, x: Any, h: Any, state: Any) -> tuple[Tensor, HiddenState]:  # noqa: D102  same
        forget = self.recurrent_activation(x.forget + h.forget)
        candidate = self.activation(x.candidate + h.candidate)
        hidden = (1 - forget) * state.hidden + forget * candidate
        return hidden, HiddenState(hidden)
