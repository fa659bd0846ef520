"""The minimal RNN."""

from __future__ import annotations

from typing import Any

from seqlab import GatedCell, HiddenState
from torch import Tensor


class MinimalRNN(GatedCell):
    """A gate between the state and an embedding of the input.

    Chen, "MinimalRNN: Toward more interpretable and trainable recurrent neural networks" (2017).

        z_t = tanh(W x_t + b)
        u_t = sigmoid(U_h h_{t-1} + U_z z_t + b')
        h_t = u_t * h_{t-1} + (1 - u_t) * z_t

    Both products have a bias.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(MinimalRNN(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    input_gates = ("latent",)
    recurrent_gates = ("update", "mixed")
    products = {"hidden": ("update",), "latent": ("mixed",)}  # noqa: RUF012
    State = HiddenState
    recurrent_bias_gates = True

    def latent(self, x: Any, h: Any, state: HiddenState) -> Tensor:
        """The embedding of the input."""
        del h, state
        return self.activation(x.latent)

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        u = self.recurrent_activation(h.update + h.mixed)
        hidden = u * state.hidden + (1 - u) * self.activation(x.latent)
        return hidden, HiddenState(hidden)
