"""FastRNN and FastGRNN: small residual nets for small devices."""

from __future__ import annotations

from typing import Any

import torch
from seqlab import GatedCell, HiddenState
from torch import Tensor


class FastRNN(GatedCell):
    """A plain RNN beside a residual connection, with two trained numbers.

    Kusupati et al., "FastGRNN: A fast, accurate, stable and tiny kilobyte sized gated recurrent
    neural network" (2018).

        h_t = sigmoid(alpha) tanh(W x_t + U h_{t-1} + b) + sigmoid(beta) h_{t-1}

    Deviation: the numbers go through a sigmoid, as in the authors' code and torchrecurrent.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(FastRNN(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("candidate",)
    State = HiddenState
    scalars = {"alpha": 3.0, "beta": -3.0}  # noqa: RUF012

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equation of the class."""
        candidate = self.activation(x.candidate + h.candidate)
        sigmoid = self.recurrent_activation
        hidden = sigmoid(self.alpha) * candidate + sigmoid(self.beta) * state.hidden
        return hidden, HiddenState(hidden)


class FastGRNN(GatedCell):
    """A gate and a candidate that share both matrices.

    Kusupati et al., "FastGRNN: A fast, accurate, stable and tiny kilobyte sized gated recurrent
    neural network" (2018).

        p_t = W x_t + U h_{t-1} + b
        z_t = sigmoid(p_t)
        h_t = (sigmoid(zeta) (1 - z_t) + sigmoid(nu)) * tanh(p_t + d) + z_t * h_{t-1}

    The candidate's bias is ``b + d``. torchrecurrent's gate is a tanh by default; here it is the
    paper's sigmoid.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(FastGRNN(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("shared",)
    State = HiddenState
    vectors = {"shift": "zeros"}  # noqa: RUF012
    scalars = {"zeta": 3.0, "nu": -3.0}  # noqa: RUF012

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        p = x.shared + h.shared
        z = self.recurrent_activation(p)
        share = torch.sigmoid(self.zeta) * (1 - z) + torch.sigmoid(self.nu)
        hidden = share * self.activation(p + self.shift) + z * state.hidden
        return hidden, HiddenState(hidden)
