"""The linear recurrent unit: a complex diagonal recurrence."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlab.cells.base import widened
from seqlab.cells.linear import LinearRecurrentCell
from seqlab.schema import Count, Fraction, Part, Positive, check_order, checked


class LRUCell(LinearRecurrentCell):
    """LRU (Orvieto et al., "Resurrecting recurrent neural networks for long sequences", 2023).

        lambda = exp(-exp(nu) + i exp(theta))                          H numbers inside the circle
        h_t = lambda * h_{t-1} + sqrt(1 - |lambda|^2) * (B x_t)        complex state
        y_t = Re(C h_t) + D x_t                                        output

    B and C are complex matrices, kept as real and imaginary parts; D is a full ``[H, D]`` matrix,
    as input and output widths may differ. The state is ``[B, 2H]`` real numbers.

    Args:
        input_size: D.
        hidden_size: H, the number of complex states and the width of the output.
        min_radius: smallest modulus of lambda at the start.
        max_radius: largest modulus of lambda at the start.
        max_phase: largest phase of lambda at the start.

    Raises:
        OptionError: the radii are not 0 <= min < max < 1.

    Example:
        >>> cell = LRUCell(3, 5)
        >>> cell.initial_state(2).hidden.shape
        torch.Size([2, 10])
    """

    complex_state: ClassVar[bool] = True

    @checked
    def __init__(
        self,
        input_size: Count,
        hidden_size: Count,
        *,
        min_radius: Fraction = 0.4,
        max_radius: Part = 0.99,
        max_phase: Positive = 2 * math.pi,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        check_order(min_radius=min_radius, max_radius=max_radius, strict=True)
        self.radii, self.max_phase = (min_radius, max_radius), max_phase

    def make_parameters(self) -> None:
        """The numbers lambda, and the matrices B, C and D."""
        size = self.hidden_size
        self.nu, self.theta = nn.Parameter(torch.empty(size)), nn.Parameter(torch.empty(size))
        self.weight_in = nn.Parameter(torch.empty(2 * size, self.input_size))
        self.weight_out = nn.Parameter(torch.empty(size, 2 * size))
        self.weight_skip = nn.Parameter(torch.empty(size, self.input_size))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """The paper's: lambda uniform on a ring, matrices normal with variance 1 / width."""
        low, high = self.radii
        squared = torch.empty_like(self.nu).uniform_(low**2, high**2).clamp_min_(1e-6)
        self.nu.copy_((-0.5 * squared.log()).log())
        self.theta.copy_(torch.empty_like(self.theta).uniform_(1e-4, self.max_phase).log())
        self.weight_in.normal_(std=(2 * self.input_size) ** -0.5)
        self.weight_out.normal_(std=self.hidden_size**-0.5)
        self.weight_skip.normal_(std=self.input_size**-0.5)

    def coefficients(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """The same complex ``a`` at all times, and ``b = sqrt(1 - |a|^2) B x``."""
        decay = self.nu.exp()
        gamma = torch.sqrt(-torch.expm1(-2 * decay))
        real, imaginary = F.linear(x_BTD, self.weight_in).chunk(2, -1)
        dtype = widened(real.dtype)
        b = torch.complex((gamma * real).to(dtype), (gamma * imaginary).to(dtype))
        modulus, phase = (-decay).exp().to(dtype), self.theta.exp().to(dtype)
        if torch.compiler.is_exporting():  # ONNX expands no complex numbers
            return torch.polar(modulus.expand_as(real), phase.expand_as(real)), b
        return torch.polar(modulus, phase).expand_as(b), b

    def readout(self, x_BTD: Tensor, h_BTH: Tensor) -> Tensor:
        """``Re(C h) + D x``: a real product with the real and imaginary parts."""
        parts = torch.cat([h_BTH.real, -h_BTH.imag], -1).to(self.weight_out.dtype)
        return F.linear(parts, self.weight_out) + F.linear(x_BTD, self.weight_skip)
