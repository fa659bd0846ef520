"""The simple recurrent unit."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlab.cells.linear import GatedLinearCell
from seqlab.options.resolve import resolve_activation
from seqlab.schema import Count


class SRUCell(GatedLinearCell):
    """SRU (Lei et al., "Training RNNs as fast as CNNs", 2017).

        n_t = W_n x_t                                   candidate
        f_t = sigmoid(W_f x_t + b_f)                    forget gate
        r_t = sigmoid(W_r x_t + b_r)                    reset gate
        c_t = f_t * c_{t-1} + (1 - f_t) * n_t           state
        y_t = r_t * act(c_t) + (1 - r_t) * x_t          output, with a highway for the input

    Gates do not see the state, as in the paper's first version; the vectors ``v * c_{t-1}`` of
    the later one would make the recurrence nonlinear. Where D differs from H the highway is
    ``V x_t`` with a matrix ``highway [H, D]``.

    Args:
        input_size: D.
        hidden_size: H.
        activation: act, by registered name.
        **options: those of ``GatedLinearCell``.

    Example:
        >>> cell = SRUCell(3, 5)
        >>> output, _ = cell.step(cell.project(torch.ones(2, 3)), cell.initial_state(2))
        >>> output.shape
        torch.Size([2, 5])
    """

    gates = ("candidate", "forget", "reset")

    def __init__(
        self, input_size: Count, hidden_size: Count, *, activation: Any = "tanh", **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.activation = resolve_activation("activation", activation)

    def make_parameters(self) -> None:
        """As in the base class, and the highway where the widths differ."""
        super().make_parameters()
        self.highway = None
        if self.input_size != self.hidden_size:
            self.highway = nn.Parameter(torch.empty(self.hidden_size, self.input_size))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """As in the base class, the highway likewise."""
        super().reset_parameters()
        if self.highway is not None:
            nn.init.xavier_uniform_(self.highway)

    def coefficients(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """``a = f`` and ``b = (1 - f) n``."""
        n, f = self.gate(x_BTD, "candidate", "forget")
        return torch.sigmoid(f), torch.sigmoid(-f) * n

    def readout(self, x_BTD: Tensor, h_BTH: Tensor) -> Tensor:
        """The output equation of the class."""
        (r,) = self.gate(x_BTD, "reset")
        skip = x_BTD if self.highway is None else F.linear(x_BTD, self.highway)
        return torch.sigmoid(r) * self.activation(h_BTH) + torch.sigmoid(-r) * skip
