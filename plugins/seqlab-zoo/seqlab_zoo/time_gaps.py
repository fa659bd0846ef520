"""Cells for events at irregular times: the last input is the time since the one before."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import torch
from seqlab import GatedCell, HiddenState
from seqlab.schema import Count, Part, checked
from torch import Tensor


class TimedState(NamedTuple):
    """``hidden``, the output, and ``cell``, the memory, each ``[B, H]``."""

    hidden: Tensor
    cell: Tensor


class TimeLSTM(GatedCell):
    """An LSTM whose short-term memory fades with the time since the last event.

    Baytas, Xiao, Zhang, Wang, Jain and Zhou, "Patient subtyping via time-aware LSTM networks"
    (2017). The last input is the gap ``d_t`` since the event before, at least 0.

        s_t = tanh(U_s c_{t-1} + b'_s)                          short-term part of the memory
        k_t = c_{t-1} - s_t + s_t / log(e + d_t)
        c_t = f_t * k_t + i_t * tanh(W_g x_t + U_g h_{t-1} + b_g)
        h_t = o_t * tanh(c_t)

    The gates i, f and o are an LSTM's; every product has a bias of its own.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(TimeLSTM(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    input_gates = ("input", "forget", "candidate", "output")
    recurrent_gates = (*input_gates, "short")
    products = {"hidden": input_gates, "cell": ("short",)}  # noqa: RUF012
    State = TimedState
    raw = {"gap": 1}  # noqa: RUF012
    recurrent_bias_gates = True

    def update(self, x: Any, h: Any, state: TimedState) -> tuple[Tensor, TimedState]:
        """The equations of the class."""
        short = self.activation(h.short)
        known = state.cell - short + short / torch.log(x.gap + math.e)
        i = self.recurrent_activation(x.input + h.input)
        f = self.recurrent_activation(x.forget + h.forget)
        o = self.recurrent_activation(x.output + h.output)
        cell = f * known + i * self.activation(x.candidate + h.candidate)
        hidden = o * self.activation(cell)
        return hidden, TimedState(hidden, cell)


class PhasedLSTM(GatedCell):
    """An LSTM whose units open at rhythms of their own.

    Neil, Pfeiffer and Liu, "Phased LSTM: Accelerating recurrent network training for long or
    event-based sequences" (2016). The last input is the time ``t`` of the event (not the gap).

        phi_t = t / tau - s, without its whole part
        k_t = 2 phi / r,  2 - 2 phi / r  or  alpha phi     as phi < r/2, phi < r, or later
        c_t = k_t * c'_t + (1 - k_t) * c_{t-1}
        h_t = k_t * h'_t + (1 - k_t) * h_{t-1}

    c' and h' are an LSTM's. Deviation: the gates see no memory (peepholes); tau is kept as its
    logarithm and s as a part of tau.

    Args:
        input_size: D.
        hidden_size: H.
        open: r, the part of a period in which a unit is open.
        leak: alpha, how far it is open in the rest, in training and after it.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(PhasedLSTM(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("input", "forget", "candidate", "output")
    State = TimedState
    raw = {"time": 1}  # noqa: RUF012
    expected_failures: ClassVar[dict[str, str]] = dict.fromkeys(
        ("head_ctc", "head_joint", "head_language_model", "head_tagging"),
        "units open in 0.05 of a period see little of a few steps; with open = 0.9 they learn",
    )
    vectors = {  # noqa: RUF012
        "log_period": {"name": "random_uniform", "minval": 0.0, "maxval": 3.0},
        "phase": {"name": "random_uniform", "minval": 0.0, "maxval": 1.0},
    }

    @checked
    def __init__(
        self,
        input_size: Count,
        hidden_size: Count,
        *,
        open: Part = 0.05,  # noqa: A002  # the paper's word
        leak: Part = 0.001,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.open, self.leak = open, leak

    def update(self, x: Any, h: Any, state: TimedState) -> tuple[Tensor, TimedState]:
        """The equations of the class."""
        turns = x.time * torch.exp(-self.log_period) - self.phase
        phi = turns - torch.floor(turns)
        rising = 2 * phi / self.open
        k = torch.where(phi < self.open, torch.minimum(rising, 2 - rising), self.leak * phi)
        i = self.recurrent_activation(x.input + h.input)
        f = self.recurrent_activation(x.forget + h.forget)
        o = self.recurrent_activation(x.output + h.output)
        proposed = f * state.cell + i * self.activation(x.candidate + h.candidate)
        cell = k * proposed + (1 - k) * state.cell
        hidden = k * o * self.activation(proposed) + (1 - k) * state.hidden
        return hidden, TimedState(hidden, cell)


class CfC(GatedCell):
    """The closed form of a liquid time-constant unit: a gate that the elapsed time drives.

    Hasani et al., "Closed-form continuous-time neural networks" (2022), with one backbone layer as
    wide as the state. The last input is the gap ``d_t`` since the event before.

        p_t = 1.7159 tanh(0.666 (W x_t + U h_{t-1} + b + b'))
        a_t = U_a p_t + b_a,  e_t = U_e p_t + b_e
        k_t = sigmoid(a_t * d_t + e_t)
        h_t = (1 - k_t) * tanh(U_f p_t + b_f) + k_t * tanh(U_g p_t + b_g)

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(CfC(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    input_gates = ("backbone",)
    recurrent_gates = ("backbone", "first", "second", "speed", "start")
    products = {"hidden": ("backbone",), "seen": recurrent_gates[1:]}  # noqa: RUF012
    State = HiddenState
    raw = {"gap": 1}  # noqa: RUF012
    recurrent_bias_gates = True

    def seen(self, x: Any, h: Any, state: HiddenState) -> Tensor:
        """The backbone's layer."""
        del state
        return 1.7159 * self.activation(0.666 * (x.backbone + h.backbone))

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        del state
        k = self.recurrent_activation(h.speed * x.gap + h.start)
        hidden = (1 - k) * self.activation(h.first) + k * self.activation(h.second)
        return hidden, HiddenState(hidden)
