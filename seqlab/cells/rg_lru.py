"""The real-gated linear recurrent unit."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlab.cells.linear import GatedLinearCell
from seqlab.schema import Count, Part, Positive, check_order, checked


class RGLRUCell(GatedLinearCell):
    """RG-LRU (De et al., "Griffin: mixing gated linear recurrences with local attention", 2024).

        u_t = V x_t                                               input; x_t itself where D = H
        r_t = sigmoid(W_r x_t + b_r)                              recurrence gate
        i_t = sigmoid(W_i x_t + b_i)                              input gate
        log a_t = -c * softplus(decay) * r_t
        h_t = a_t * h_{t-1} + sqrt(1 - a_t^2) * (i_t * u_t)       state and output

    Args:
        input_size: D.
        hidden_size: H.
        c: the paper's constant 8.
        min_radius: smallest ``a`` at the start, for r = 1.
        max_radius: largest ``a`` at the start, for r = 1.
        **options: those of ``GatedLinearCell``.

    Raises:
        OptionError: ``c`` is not positive, or the radii are not 0 < min < max < 1.

    Example:
        >>> cell = RGLRUCell(3, 5)
        >>> a, _ = cell.coefficients(torch.ones(2, 4, 3))
        >>> a.shape
        torch.Size([2, 4, 5])
    """

    gates = ("recurrence", "input")

    @checked
    def __init__(
        self,
        input_size: Count,
        hidden_size: Count,
        *,
        c: Positive = 8.0,
        min_radius: Part = 0.9,
        max_radius: Part = 0.999,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        check_order(min_radius=min_radius, max_radius=max_radius, strict=True)
        self.c, self.radii = c, (min_radius, max_radius)

    def make_parameters(self) -> None:
        """As in the base class, the decay, and an input matrix where the widths differ."""
        super().make_parameters()
        self.decay = nn.Parameter(torch.empty(self.hidden_size))
        self.weight_in = None
        if self.input_size != self.hidden_size:
            self.weight_in = nn.Parameter(torch.empty(self.hidden_size, self.input_size))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """As in the base class; ``a`` at r = 1 uniform on the ring of the radii."""
        super().reset_parameters()
        low, high = self.radii
        squared = torch.empty_like(self.decay).uniform_(low**2, high**2)
        self.decay.copy_(torch.expm1(-0.5 * squared.log() / self.c).log())
        if self.weight_in is not None:
            nn.init.xavier_uniform_(self.weight_in)

    def coefficients(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """``a`` and ``b = sqrt(1 - a^2) (i * u)``."""
        r, i = self.gate(x_BTD, "recurrence", "input")
        u = x_BTD if self.weight_in is None else F.linear(x_BTD, self.weight_in)
        log_a = -self.c * F.softplus(self.decay) * torch.sigmoid(r)
        # the root's slope is infinite at a = 1
        kept = torch.sqrt(-torch.expm1(2 * log_a).clamp_max(-1e-12))
        return log_a.exp(), kept * torch.sigmoid(i) * u
