"""The bistable cells: a gate may make the memory of a unit stable for ever."""

from __future__ import annotations

from typing import Any, ClassVar

from seqlab import GatedCell, HiddenState
from torch import Tensor

from seqlab_zoo.no_product import NO_PRODUCT


class BR(GatedCell):
    """The bistable cell: units that see themselves alone.

    Vecoven, Ernst and Drion, "A bio-inspired bistable recurrent cell allows for long-lasting
    memory" (2021).

        a_t = 1 + tanh(W_a x_t + w_a * h_{t-1} + b_a)      above 1 the unit is bistable
        c_t = sigmoid(W_c x_t + w_c * h_{t-1} + b_c)
        h_t = c_t * h_{t-1} + (1 - c_t) * tanh(W_g x_t + a_t * h_{t-1} + b_g)

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(BR(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    expected_failures: ClassVar[dict[str, str]] = NO_PRODUCT
    input_gates = ("modulation", "update", "candidate")
    recurrent_gates = ()
    State = HiddenState
    vectors = {"own_modulation": "random_normal", "own_update": "random_normal"}  # noqa: RUF012

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        del h
        a = 1 + self.activation(x.modulation + self.own_modulation * state.hidden)
        c = self.recurrent_activation(x.update + self.own_update * state.hidden)
        g = self.activation(x.candidate + a * state.hidden)
        hidden = c * state.hidden + (1 - c) * g
        return hidden, HiddenState(hidden)


class NBR(GatedCell):
    """The neuromodulated bistable cell: the gates of a BR cell see all units.

    Vecoven, Ernst and Drion, "A bio-inspired bistable recurrent cell allows for long-lasting
    memory" (2021), nBRC.

        a_t = 1 + tanh(W_a x_t + U_a h_{t-1} + b_a)
        c_t = sigmoid(W_c x_t + U_c h_{t-1} + b_c)
        h_t = c_t * h_{t-1} + (1 - c_t) * tanh(W_g x_t + a_t * h_{t-1} + b_g)

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(NBR(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    input_gates = ("modulation", "update", "candidate")
    recurrent_gates = ("modulation", "update")
    State = HiddenState

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        a = 1 + self.activation(x.modulation + h.modulation)
        c = self.recurrent_activation(x.update + h.update)
        g = self.activation(x.candidate + a * state.hidden)
        hidden = c * state.hidden + (1 - c) * g
        return hidden, HiddenState(hidden)
