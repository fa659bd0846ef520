"""The minion recurrent units: a GRU whose gates are numbers."""

from __future__ import annotations

from typing import Any

from seqlab import GatedCell, HiddenState
from seqlab.schema import Count, Share, checked
from torch import Tensor


class Minion(GatedCell):
    """What both have: a number that mixes the old state with a candidate."""

    State = HiddenState

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, *, keep: Share = 0.5, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.keep = keep

    def mixed(self, candidate: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The new state, squashed candidate and old state together."""
        g = self.activation(candidate)
        hidden = self.keep * state.hidden + (1 - self.keep) * g
        return hidden, HiddenState(hidden)


class MiRU1(Minion):
    """A GRU with a number for its update gate.

    Neurocomputing (2026), doi 10.1016/j.neucom.2026.132847.

        r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)
        h_t = a h_{t-1} + (1 - a) tanh(W_g x_t + U_g (r_t * h_{t-1}) + b_g)

    Args:
        input_size: D.
        hidden_size: H.
        keep: a, the share of the old state.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(MiRU1(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("reset", "candidate")
    second_gates = ("candidate",)

    def second_input(self, x: Any, h: Any, state: HiddenState) -> Tensor:
        """The state behind the reset gate."""
        return self.recurrent_activation(x.reset + h.reset) * state.hidden

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        return self.mixed(x.candidate + h.candidate, state)


class MiRU2(Minion):
    """A GRU with numbers for both of its gates.

    Neurocomputing (2026), doi 10.1016/j.neucom.2026.132847.

        h_t = a h_{t-1} + (1 - a) tanh(W x_t + r U h_{t-1} + b)

    Args:
        input_size: D.
        hidden_size: H.
        keep: a, the share of the old state.
        reset: r, the share of it that the candidate sees.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(MiRU2(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("candidate",)

    @checked
    def __init__(
        self,
        input_size: Count,
        hidden_size: Count,
        *,
        keep: Share = 0.5,
        reset: Share = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, keep=keep, **options)
        self.reset = reset

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equation of the class."""
        return self.mixed(x.candidate + self.reset * h.candidate, state)
