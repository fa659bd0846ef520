"""The minimal GRU: a gated recurrent unit without its dependence on the state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqlab.cells.linear import GatedLinearCell
from seqlab.schema import Count, checked


class MinGRUCell(GatedLinearCell):
    """minGRU (Feng et al., "Were RNNs all we needed?", 2024).

        z_t = sigmoid(W_z x_t + b_z)                    update gate
        n_t = g(W_n x_t + b_n)                          candidate
        h_t = (1 - z_t) * h_{t-1} + z_t * n_t           state and output

    g is the identity; with ``positive`` it is the paper's ``x + 1/2`` for x >= 0, ``sigmoid(x)``
    below, which keeps states positive.

    Args:
        input_size: D.
        hidden_size: H.
        positive: whether candidates are made positive.
        **options: those of ``GatedLinearCell``.

    Example:
        >>> cell = MinGRUCell(3, 5)
        >>> a, b = cell.coefficients(torch.ones(2, 4, 3))
        >>> a.shape, bool(((a > 0) & (a < 1)).all())
        (torch.Size([2, 4, 5]), True)
    """

    gates = ("update", "candidate")

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, *, positive: bool = False, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.positive = positive

    def coefficients(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """``a = 1 - z`` and ``b = z n``."""
        z, n = self.gate(x_BTD, "update", "candidate")
        if self.positive:
            n = torch.where(n >= 0, n + 0.5, torch.sigmoid(n))
        return torch.sigmoid(-z), torch.sigmoid(z) * n
