"""The simple gated units."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from seqlab import GatedCell, HiddenState
from seqlab.schema import Count, checked
from torch import Tensor

MODIFIER = {"option_modifier": "the modulation is no sum, so a modifier of sums has no use for it"}
#: The activation stays torch's, which Keras and torchrecurrent have too.
GRADIENT = "the gradient of torch's hardsigmoid is 1/6 in float32, also in float64"


class SimpleGated(GatedCell):
    """What both have: a hard gate, and a state that the input's product multiplies."""

    State = HiddenState
    recurrent_bias_gates = True

    @checked
    def __init__(
        self,
        input_size: Count,
        hidden_size: Count,
        *,
        recurrent_activation: Any = "hard_sigmoid",
        **options: Any,
    ) -> None:
        options["recurrent_activation"] = recurrent_activation
        super().__init__(input_size, hidden_size, **options)

    def modulated(self, x: Any, h: Any, state: HiddenState) -> Tensor:
        """The state times the input's product."""
        del h
        return x.modulation * state.hidden


class SGU(SimpleGated):
    """Multiplications before the activations, and one gate.

    Gao and Glowacka, "Deep gate recurrent neural network" (2016).

        g_t = tanh(U_g ((W_g x_t + b_g) * h_{t-1}) + b'_g)
        u_t = softplus(g_t * h_{t-1})
        z_t = hard_sigmoid(W_z x_t + U_z h_{t-1} + b_z)
        h_t = (1 - z_t) * h_{t-1} + z_t * u_t

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(SGU(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    expected_failures: ClassVar[dict[str, str]] = {
        **MODIFIER, "far_states_are_fine": GRADIENT, "engine_compiled": GRADIENT,
    }  # fmt: skip
    gates = ("update", "modulation")
    products = {"hidden": ("update",), "modulated": ("modulation",)}  # noqa: RUF012

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        u = torch.nn.functional.softplus(self.activation(h.modulation) * state.hidden)
        z = self.recurrent_activation(x.update + h.update)
        hidden = (1 - z) * state.hidden + z * u
        return hidden, HiddenState(hidden)


class DSGU(SimpleGated):
    """The deep simple gated unit: one more matrix behind the multiplication.

    Gao and Glowacka, "Deep gate recurrent neural network" (2016).

        g_t = tanh(U_g ((W_g x_t + b_g) * h_{t-1}) + b'_g)
        u_t = sigmoid(U_u (g_t * h_{t-1}) + b'_u)
        z_t = hard_sigmoid(W_z x_t + U_z h_{t-1} + b_z)
        h_t = (1 - z_t) * h_{t-1} + z_t * u_t

    Deviation: every product has a bias of its own.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(DSGU(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    expected_failures: ClassVar[dict[str, str]] = {**MODIFIER, "engine_compiled": GRADIENT}
    input_gates = ("update", "modulation")
    recurrent_gates = ("update", "modulation", "deep")
    products = {  # noqa: RUF012
        "hidden": ("update",), "modulated": ("modulation",), "again": ("deep",),
    }  # fmt: skip

    def again(self, x: Any, h: Any, state: HiddenState) -> Tensor:
        """The state times the modulation."""
        del x
        return self.activation(h.modulation) * state.hidden

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        z = self.recurrent_activation(x.update + h.update)
        hidden = (1 - z) * state.hidden + z * torch.sigmoid(h.deep)
        return hidden, HiddenState(hidden)
