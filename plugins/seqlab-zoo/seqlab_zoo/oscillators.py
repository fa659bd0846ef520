"""Recurrent nets of oscillators: a position and a velocity for each unit."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from seqlab import GatedCell
from seqlab.schema import Count, NonNegative, Positive, checked
from torch import Tensor

from seqlab_zoo.no_product import NO_PRODUCT

#: Of the conformance kit's checks, whose rows have a few steps.
SLOW = dict.fromkeys(
    ("head_ctc", "head_joint", "head_language_model", "head_tagging"),
    "with dt = 0.1 a state moves little in the few steps of these rows; with dt = 1 it learns them",
)


class OscillatorState(NamedTuple):
    """``hidden``, the positions, and ``velocity``, each ``[B, H]``."""

    hidden: Tensor
    velocity: Tensor


class CoRNN(GatedCell):
    """Coupled damped oscillators, driven by the input.

    Rusch and Mishra, "Coupled oscillatory recurrent neural network (coRNN)" (2021), in the explicit
    form of their code.

        a_t = tanh(W x_t + U h_{t-1} + V z_{t-1} + b)
        z_t = z_{t-1} + dt (a_t - gamma h_{t-1} - epsilon z_{t-1})
        h_t = h_{t-1} + dt z_t

    Args:
        input_size: D.
        hidden_size: H.
        dt: the length of a step.
        gamma: the force towards 0.
        epsilon: the damping.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(CoRNN(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    State = OscillatorState
    expected_failures: ClassVar[dict[str, str]] = SLOW
    input_gates = ("force",)
    recurrent_gates = ("force", "damping")
    products = {"hidden": ("force",), "velocity": ("damping",)}  # noqa: RUF012

    @checked
    def __init__(
        self,
        input_size: Count,
        hidden_size: Count,
        *,
        dt: Positive = 0.1,
        gamma: NonNegative = 1.0,
        epsilon: NonNegative = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.dt, self.gamma, self.epsilon = dt, gamma, epsilon

    def update(self, x: Any, h: Any, state: OscillatorState) -> tuple[Tensor, OscillatorState]:
        """The equations of the class."""
        force = self.activation(x.force + h.force + h.damping)
        change = force - self.gamma * state.hidden - self.epsilon * state.velocity
        velocity = state.velocity + self.dt * change
        hidden = state.hidden + self.dt * velocity
        return hidden, OscillatorState(hidden, velocity)


class UnICORNN(GatedCell):
    """Independent undamped oscillators, each with a time scale of its own.

    Rusch and Mishra, "UnICORNN: A recurrent model for learning very long time dependencies" (2021).

        z_t = z_{t-1} - dt sigmoid(c) * (tanh(W x_t + w * h_{t-1} + b) + alpha h_{t-1})
        h_t = h_{t-1} + dt sigmoid(c) * z_t

    Args:
        input_size: D.
        hidden_size: H.
        dt: the longest step.
        alpha: the force towards 0.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(UnICORNN(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    State = OscillatorState
    expected_failures: ClassVar[dict[str, str]] = {**SLOW, **NO_PRODUCT}
    input_gates = ("force",)
    recurrent_gates = ()
    vectors = {  # noqa: RUF012
        "own": {"name": "random_uniform", "minval": 0.0, "maxval": 1.0},
        "control": {"name": "random_uniform", "minval": -0.1, "maxval": 0.1},
    }

    @checked
    def __init__(
        self,
        input_size: Count,
        hidden_size: Count,
        *,
        dt: Positive = 0.1,
        alpha: NonNegative = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.dt, self.alpha = dt, alpha

    def update(self, x: Any, h: Any, state: OscillatorState) -> tuple[Tensor, OscillatorState]:
        """The equations of the class."""
        del h
        step = self.dt * self.recurrent_activation(self.control)
        force = self.activation(x.force + self.own * state.hidden)
        if self.alpha:
            force = force + self.alpha * state.hidden
        velocity = state.velocity - step * force
        hidden = state.hidden + step * velocity
        return hidden, OscillatorState(hidden, velocity)
