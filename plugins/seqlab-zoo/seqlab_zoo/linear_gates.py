"""Linear recurrences with gates, and a diagonal state space: all steps run at once."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from seqlab import LinearRecurrentCell
from seqlab.cells.base import widened
from seqlab.cells.linear import GatedLinearCell
from torch import Tensor, nn


class HGRN(GatedLinearCell):
    """A forget gate with a floor of its own in each unit, and an output gate.

    Qin, Yang and Zhong, "Hierarchically gated recurrent neural network for sequence modeling"
    (2023), in the real form of flash-linear-attention.

        f_t = g + (1 - g) sigmoid(W_f x_t + b_f)            g in (0, 1), trained
        h_t = f_t * h_{t-1} + (1 - f_t) * swish(W_i x_t + b_i)
        y_t = h_t * sigmoid(W_o x_t + b_o)

    Deviations: the state is real, and the floors of one layer do not depend on the next one's.

    Args:
        input_size: D.
        hidden_size: H.
        use_bias: whether there are biases.

    Example:
        >>> import seqlab
        >>> seqlab.Recurrent(HGRN(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("candidate", "forget", "output")
    made_in_setup = (*GatedLinearCell.made_in_setup, "floor")

    def make_parameters(self) -> None:
        """The matrix, the bias and the floors."""
        super().make_parameters()
        self.floor = nn.Parameter(torch.empty(self.hidden_size))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """As the base class; floors from 0.1 to 0.9."""
        super().reset_parameters()
        self.floor.copy_(torch.logit(torch.linspace(0.1, 0.9, self.hidden_size)))

    def coefficients(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """``f_t`` and ``(1 - f_t) * swish(W_i x_t + b_i)``."""
        candidate, forget = self.gate(x_BTD, "candidate", "forget")
        floor = torch.sigmoid(self.floor)
        f = floor + (1 - floor) * torch.sigmoid(forget)
        return f, (1 - f) * F.silu(candidate)

    def readout(self, x_BTD: Tensor, h_BTH: Tensor) -> Tensor:
        """The state behind the output gate."""
        (output,) = self.gate(x_BTD, "output")
        return h_BTH * torch.sigmoid(output)


class GateLoop(GatedLinearCell):
    """A linear recurrence whose turn and decay the input chooses.

    Katsch, "GateLoop: Fully data-controlled linear recurrence for sequence modeling" (2023), with
    one number a head (their maximal number of heads).

        a_t = sigmoid(W_a x_t + b_a) * exp(i (W_p x_t + b_p))       complex
        h_t = a_t * h_{t-1} + (W_k x_t + b_k) * (W_v x_t + b_v)
        y_t = real(h_t) * (W_q x_t + b_q) * swish(W_g x_t + b_g)

    Args:
        input_size: D.
        hidden_size: H.
        use_bias: whether there are biases.

    Example:
        >>> import seqlab
        >>> seqlab.Recurrent(GateLoop(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    expected_failures: ClassVar[dict[str, str]] = {
        "wrapper_fast_slow": "its output is a product of four parts of its input, and fed back to "
        "such cells at each step it grows beyond all numbers",
    }
    gates = ("decay", "phase", "key", "value", "query", "output")
    complex_state = True

    def coefficients(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """``a_t`` and the product of key and value."""
        gates = self.gate(x_BTD, "decay", "value")
        decay, phase, key, value = (gate.to(widened(gate.dtype)) for gate in gates)
        written = key * value
        return torch.polar(torch.sigmoid(decay), phase), torch.complex(
            written, torch.zeros_like(written)
        )

    def readout(self, x_BTD: Tensor, h_BTH: Tensor) -> Tensor:
        """The real part, behind query and output gate."""
        query, output = self.gate(x_BTD, "query", "output")
        return h_BTH.real.to(self.weight.dtype) * query * F.silu(output)


class S5(LinearRecurrentCell):
    """A diagonal state space with time steps of its own: fixed decays and turns, trained.

    Smith, Warrington and Linderman, "Simplified state space layers for sequence modeling" (2023),
    by zero-order hold, with the diagonal start of Gu et al., "On the parameterization and
    initialization of diagonal state space models" (2022), S4D-Lin.

        A = -exp(r) + i w,    d = exp(s)                    for each of H states
        h_t = exp(A d) * h_{t-1} + (exp(A d) - 1) / A * (B x_t)
        y_t = real(C h_t) + E x_t

    Deviations: H states and H outputs, no conjugate pairs, and E is a matrix, as D may differ from
    H. What follows the recurrence (GELU, gates) is the next layer's.

    Args:
        input_size: D.
        hidden_size: H.

    Example:
        >>> import seqlab
        >>> seqlab.Recurrent(S5(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    complex_state = True
    made_in_setup = ("rate", "turn", "log_step", "into", "out_of", "skip")

    def make_parameters(self) -> None:
        """Real tensors; B and C hold real parts, then imaginary parts."""
        units, inputs = self.hidden_size, self.input_size
        shapes = {"rate": (units,), "turn": (units,), "log_step": (units,),
                  "into": (2, units, inputs), "out_of": (2, units, units),
                  "skip": (units, inputs)}  # fmt: skip
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Decays of 1/2, turns of whole multiples of pi, steps from 0.001 to 0.1."""
        self.rate.fill_(math.log(0.5))
        self.turn.copy_(math.pi * torch.arange(self.hidden_size))
        self.log_step.uniform_(math.log(1e-3), math.log(1e-1))
        self.into.normal_(std=(2 * self.input_size) ** -0.5)
        self.out_of.normal_(std=self.hidden_size**-0.5)
        nn.init.xavier_uniform_(self.skip)

    def coefficients(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """``exp(A d)``, the same at all steps, and the input through B."""
        dtype = widened(self.rate.dtype)
        poles = torch.complex(-torch.exp(self.rate.to(dtype)), self.turn.to(dtype))
        kept = torch.exp(poles * torch.exp(self.log_step.to(dtype)))
        into = [F.linear(x_BTD, part).to(dtype) for part in self.into]
        written = (kept - 1) / poles * torch.complex(*into)
        return kept.expand_as(written), written

    def readout(self, x_BTD: Tensor, h_BTH: Tensor) -> Tensor:
        """The real part of the state through C, and the input through E."""
        real, imaginary = (part.to(self.rate.dtype) for part in (h_BTH.real, h_BTH.imag))
        shown = F.linear(real, self.out_of[0]) - F.linear(imaginary, self.out_of[1])
        return shown + F.linear(x_BTD, self.skip)
