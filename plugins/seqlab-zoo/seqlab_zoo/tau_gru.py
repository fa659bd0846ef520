"""The GRU with delayed feedback."""

from __future__ import annotations

from collections import namedtuple
from typing import Annotated, Any

from seqlab import GatedCell
from seqlab.schema import Count, Range, checked
from torch import Tensor

#: Steps; each is a field of the state.
Delay = Annotated[int, Range(least=1, most=12)]
#: For each delay the state: ``hidden`` and the states before it, each ``[B, H]``.
STATES: dict[int, Any] = {
    count: namedtuple(f"Delayed{count}", ["hidden", *(f"delayed_{i + 1}" for i in range(count))])  # noqa: PYI024
    for count in range(1, 13)
}
# so that states can be pickled
globals().update({state.__name__: state for state in STATES.values()})


class TauGRU(GatedCell):
    """A gated step of a delay differential equation: the candidate sees an older state too.

    Erichson, Lim and Mahoney, "Gated recurrent neural networks with weighted time-delay feedback"
    (2022).

        u_t = tanh(W_u x_t + U_u h_{t-1} + b_u)
        z_t = tanh(W_z x_t + U_z h_{t-1-d} + b_z)
        g_t = sigmoid(W_g x_t + U_g h_{t-1} + b_g)
        a_t = sigmoid(W_a x_t + U_a h_{t-1} + b_a)
        h_t = (1 - g_t) * h_{t-1} + g_t * (u_t + a_t * z_t)

    Args:
        input_size: D.
        hidden_size: H.
        delay: d, in steps.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(TauGRU(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("candidate", "gate", "weight", "delayed")

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, *, delay: Delay = 1, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.delay, self.State = delay, STATES[delay]
        self.products = {"hidden": self.gates[:3], f"delayed_{delay}": self.gates[3:]}

    def update(self, x: Any, h: Any, state: Any) -> tuple[Tensor, Any]:
        """The equations of the class."""
        u = self.activation(x.candidate + h.candidate)
        z = self.activation(x.delayed + h.delayed)
        g = self.recurrent_activation(x.gate + h.gate)
        a = self.recurrent_activation(x.weight + h.weight)
        hidden = (1 - g) * state.hidden + g * (u + a * z)
        return hidden, self.State(hidden, *state[:-1])
