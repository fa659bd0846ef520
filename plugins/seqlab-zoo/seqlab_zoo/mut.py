"""The three cells that a search over variants of the GRU found best."""

from __future__ import annotations

from typing import Any

from seqlab import GatedCell, HiddenState
from torch import Tensor


class MUT1(GatedCell):
    """A GRU whose update gate sees the input alone.

    Jozefowicz, Zaremba and Sutskever, "An empirical exploration of recurrent network architectures"
    (2015).

        z_t = sigmoid(W_z x_t + b_z)
        r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)
        h_t = z_t * tanh(U_g (r_t * h_{t-1}) + tanh(W_g x_t + b_g) + b'_g) + (1 - z_t) * h_{t-1}

    Deviation: the paper's inner tanh has the input itself; here, as in torchrecurrent, its product.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(MUT1(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    input_gates = ("update", "reset", "candidate")
    recurrent_gates = ("reset", "candidate")
    second_gates = ("candidate",)
    State = HiddenState
    recurrent_bias_gates = True

    def second_input(self, x: Any, h: Any, state: HiddenState) -> Tensor:
        """The state behind the reset gate."""
        return self.recurrent_activation(x.reset + h.reset) * state.hidden

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        z = self.recurrent_activation(x.update)
        g = self.activation(h.candidate + self.activation(x.candidate))
        hidden = z * g + (1 - z) * state.hidden
        return hidden, HiddenState(hidden)


class MUT2(GatedCell):
    """A GRU that mixes the other way round.

    Jozefowicz, Zaremba and Sutskever, "An empirical exploration of recurrent network architectures"
    (2015).

        z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z)
        r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)
        h_t = z_t * tanh(W_g x_t + U_g (r_t * h_{t-1}) + b_g) + (1 - z_t) * h_{t-1}

    Deviation: the paper's reset gate has the input itself; here, as in torchrecurrent, its product.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(MUT2(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("update", "reset", "candidate")
    second_gates = ("candidate",)
    State = HiddenState

    def second_input(self, x: Any, h: Any, state: HiddenState) -> Tensor:
        """The state behind the reset gate."""
        return self.recurrent_activation(x.reset + h.reset) * state.hidden

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        z = self.recurrent_activation(x.update + h.update)
        g = self.activation(x.candidate + h.candidate)
        hidden = z * g + (1 - z) * state.hidden
        return hidden, HiddenState(hidden)


class MUT3(GatedCell):
    """A GRU whose update gate sees the state squashed.

    Jozefowicz, Zaremba and Sutskever, "An empirical exploration of recurrent network architectures"
    (2015).

        z_t = sigmoid(W_z x_t + U_z tanh(h_{t-1}) + b_z)
        r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)
        h_t = z_t * tanh(W_g x_t + U_g (r_t * h_{t-1}) + b_g) + (1 - z_t) * h_{t-1}

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(MUT3(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("reset", "update", "candidate")
    products = {  # noqa: RUF012
        "hidden": ("reset",), "squashed": ("update",), "restarted": ("candidate",),
    }  # fmt: skip
    State = HiddenState

    def squashed(self, x: Any, h: Any, state: HiddenState) -> Tensor:
        """What the update gate sees."""
        del x, h
        return self.activation(state.hidden)

    def restarted(self, x: Any, h: Any, state: HiddenState) -> Tensor:
        """The state behind the reset gate."""
        return self.recurrent_activation(x.reset + h.reset) * state.hidden

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        z = self.recurrent_activation(x.update + h.update)
        g = self.activation(x.candidate + h.candidate)
        hidden = z * g + (1 - z) * state.hidden
        return hidden, HiddenState(hidden)
