"""The antisymmetric RNNs: an ordinary differential equation in small steps."""

from __future__ import annotations

from typing import Any

import torch
from seqlab import GatedCell, HiddenState
from seqlab.schema import Count, NonNegative, Positive, checked
from torch import Tensor


class Antisymmetric(GatedCell):
    """What both have: steps of a length, along a field that is antisymmetric but for a damping."""

    State = HiddenState

    @checked
    def __init__(
        self,
        input_size: Count,
        hidden_size: Count,
        *,
        step: Positive = 1.0,
        gamma: NonNegative = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.step_size, self.gamma = step, gamma

    def recurrent_matrix(self) -> Tensor:
        """``U - U^T - gamma I``."""
        weight: Tensor = self.weight_hh
        identity = torch.eye(weight.shape[0], dtype=weight.dtype, device=weight.device)
        return weight - weight.T - self.gamma * identity


class AntisymmetricRNN(Antisymmetric):
    """A residual step along an antisymmetric field, whose memory neither grows nor fades.

    Chang, Chen, Haber and Chi, "AntisymmetricRNN: A dynamical system view on recurrent neural
    networks" (2019), equation 10.

        h_t = h_{t-1} + epsilon tanh(W x_t + (U - U^T - gamma I) h_{t-1} + b)

    Initializers, penalties and constraints act on U.

    Args:
        input_size: D.
        hidden_size: H.
        step: epsilon, the length of a step.
        gamma: the diffusion, which damps.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(AntisymmetricRNN(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("candidate",)

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equation of the class."""
        change = self.activation(x.candidate + h.candidate)
        hidden = state.hidden + self.step_size * change
        return hidden, HiddenState(hidden)


class GatedAntisymmetricRNN(Antisymmetric):
    """The antisymmetric RNN with a gate that shares its recurrent matrix.

    Chang, Chen, Haber and Chi, "AntisymmetricRNN: A dynamical system view on recurrent neural
    networks" (2019), equations 11 and 12.

        a_t = (U - U^T - gamma I) h_{t-1}
        i_t = sigmoid(W_i x_t + a_t + b_i)
        h_t = h_{t-1} + epsilon i_t * tanh(W_g x_t + a_t + b_g)

    Args:
        input_size: D.
        hidden_size: H.
        step: epsilon, the length of a step.
        gamma: the diffusion, which damps.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(GatedAntisymmetricRNN(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    input_gates = ("input", "candidate")
    recurrent_gates = ("shared",)

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        i = self.recurrent_activation(x.input + h.shared)
        g = self.activation(x.candidate + h.shared)
        hidden = state.hidden + self.step_size * i * g
        return hidden, HiddenState(hidden)
