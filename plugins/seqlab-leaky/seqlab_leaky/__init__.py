"""The leaky integrator for seqlab."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqlab import GatedCell, HiddenState
from torch import Tensor


class LeakyRNN(GatedCell):
    """A simple recurrent cell in which each unit has a time scale of its own.

    Mozer, "Induction of multiscale temporal structure" (1992); Jaeger, Lukosevicius, Popovici and
    Siewert, "Optimization and applications of echo state networks with leaky-integrator neurons"
    (2007).

        a = sigmoid(leak)
        h_t = (1 - a) * h_{t-1} + a * tanh(W x_t + U h_{t-1} + b)

    What a gate decides anew at each step is one trained number for each unit here, whatever the
    input: a unit with a small share a keeps about 1 / a steps. In the papers the shares are fixed;
    here ``leak [H]`` is trained and starts evenly between -4 and 1, so the time scales lie
    between 1.4 and 55 steps. x is ``[B, D]``, h ``[B, H]``.

    Args:
        input_size: D.
        hidden_size: H.
        options: those of ``seqlab.GatedCell``.

    Example:
        >>> import torch, seqlab
        >>> output, state = seqlab.Recurrent(LeakyRNN(3, 5))(torch.zeros(2, 7, 3))
        >>> output.shape
        torch.Size([2, 7, 5])
    """

    gates = ("candidate",)
    vectors: Mapping[str, Any] = {"leak": {"name": "random_uniform", "minval": -4.0, "maxval": 1.0}}
    State = HiddenState

    def update(self, x: Any, h: Any, state: Any) -> tuple[Tensor, HiddenState]:  # noqa: D102  as the base class
        share = self.recurrent_activation(self.leak)
        candidate = self.activation(x.candidate + h.candidate)
        hidden = (1 - share) * state.hidden + share * candidate
        return hidden, HiddenState(hidden)
