"""The pooling of quasi-recurrent networks."""

from __future__ import annotations

import torch
from torch import Tensor

from seqlab.cells.linear import GatedLinearCell


class QRNNCell(GatedLinearCell):
    """QRNN with fo-pooling (Bradbury et al., "Quasi-recurrent neural networks", 2017).

        n_t = tanh(W_n x_t + b_n)                       candidate
        f_t = sigmoid(W_f x_t + b_f)                    forget gate
        o_t = sigmoid(W_o x_t + b_o)                    output gate
        c_t = f_t * c_{t-1} + (1 - f_t) * n_t           state
        y_t = o_t * c_t                                 output

    The paper's convolution over time is taken with width 1, so that a step needs its own input
    alone.

    Example:
        >>> cell = QRNNCell(3, 5)
        >>> cell.readout(torch.ones(2, 4, 3), torch.ones(2, 4, 5)).shape
        torch.Size([2, 4, 5])
    """

    gates = ("candidate", "forget", "output")

    def coefficients(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """``a = f`` and ``b = (1 - f) n``."""
        n, f = self.gate(x_BTD, "candidate", "forget")
        return torch.sigmoid(f), torch.sigmoid(-f) * torch.tanh(n)

    def readout(self, x_BTD: Tensor, h_BTH: Tensor) -> Tensor:
        """``o * c``."""
        (o,) = self.gate(x_BTD, "output")
        return torch.sigmoid(o) * h_BTH
