"""The structurally constrained recurrent network."""

from __future__ import annotations

from typing import Any, NamedTuple

from seqlab import GatedCell
from torch import Tensor


class ContextState(NamedTuple):
    """``hidden``, the fast state, and ``context``, the slow one, each ``[B, H]``."""

    hidden: Tensor
    context: Tensor


class SCRN(GatedCell):
    """A plain RNN beside a slow average of the input.

    Mikolov, Joulin, Chopra, Mathieu and Ranzato, "Learning longer memory in recurrent neural
    networks" (2014).

        s_t = (1 - alpha) (W_s x_t + b_s) + alpha s_{t-1}
        p_t = sigmoid(W_p x_t + U_p h_{t-1} + V_p s_t + b_p)
        h_t = tanh(U_y p_t + V_y s_t + b'_y)

    Deviation: alpha is trained, as in torchrecurrent; every product has a bias of its own.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(SCRN(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    input_gates = ("context", "layer")
    recurrent_gates = ("layer", "context_layer", "context_output", "output")
    products = {  # noqa: RUF012
        "hidden": ("layer",),
        "slow": ("context_layer", "context_output"),
        "fast": ("output",),
    }
    State = ContextState
    scalars = {"alpha": 0.5}  # noqa: RUF012
    recurrent_bias_gates = True

    def slow(self, x: Any, h: Any, state: ContextState) -> Tensor:
        """The new context."""
        del h
        return (1 - self.alpha) * x.context + self.alpha * state.context

    def fast(self, x: Any, h: Any, state: ContextState) -> Tensor:
        """The layer between the states."""
        del state
        return self.recurrent_activation(x.layer + h.layer + h.context_layer)

    def update(self, x: Any, h: Any, state: ContextState) -> tuple[Tensor, ContextState]:
        """The equations of the class."""
        hidden = self.activation(h.output + h.context_output)
        return hidden, ContextState(hidden, self.slow(x, h, state))
