"""The minimal LSTM: forget and input gates of the input alone, scaled to sum to one."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlab.cells.linear import GatedLinearCell
from seqlab.schema import Count, checked


class MinLSTMCell(GatedLinearCell):
    """minLSTM (Feng et al., "Were RNNs all we needed?", 2024), with gates scaled to sum to 1.

        f_t = sigmoid(W_f x_t + b_f)                                    forget gate
        i_t = sigmoid(W_i x_t + b_i)                                    input gate
        n_t = g(W_n x_t + b_n)                                          candidate
        h_t = (f_t * h_{t-1} + i_t * n_t) / (f_t + i_t)                 state and output

    The scaled gate is computed as ``sigmoid(log f - log i)``, which is right where both gates
    vanish. g is the identity; with ``positive`` it is ``x + 1/2`` for x >= 0, ``sigmoid(x)`` below.

    Args:
        input_size: D.
        hidden_size: H.
        positive: whether candidates are made positive.
        **options: those of ``GatedLinearCell``.

    Example:
        >>> cell = MinLSTMCell(3, 5)
        >>> cell.coefficients(torch.ones(2, 4, 3))[0].shape
        torch.Size([2, 4, 5])
    """

    gates = ("forget", "input", "candidate")

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, *, positive: bool = False, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.positive = positive

    def coefficients(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """``a = f / (f + i)`` and ``b = (1 - a) n``."""
        f, i, n = self.gate(x_BTD, "forget", "candidate")
        if self.positive:
            n = torch.where(n >= 0, n + 0.5, torch.sigmoid(n))
        difference = F.logsigmoid(f) - F.logsigmoid(i)
        return torch.sigmoid(difference), torch.sigmoid(-difference) * n
