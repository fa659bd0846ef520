"""The long expressive memory."""

from __future__ import annotations

from typing import Any, NamedTuple

from seqlab import GatedCell
from seqlab.schema import Count, Positive, checked
from torch import Tensor


class LongState(NamedTuple):
    """``hidden``, the output, and ``memory``, each ``[B, H]``."""

    hidden: Tensor
    memory: Tensor


class LEM(GatedCell):
    """Two coupled states with time steps of their own, learned from the input.

    Rusch, Mishra, Erichson and Mahoney, "Long expressive memory for sequence modeling" (2022).

        d'_t = dt sigmoid(W_a x_t + U_a h_{t-1} + b_a)
        d_t = dt sigmoid(W_d x_t + U_d h_{t-1} + b_d)
        m_t = (1 - d_t) * m_{t-1} + d_t * tanh(W_m x_t + U_m h_{t-1} + b_m)
        h_t = (1 - d'_t) * h_{t-1} + d'_t * tanh(W_g x_t + U_g m_t + b_g)

    Args:
        input_size: D.
        hidden_size: H.
        dt: the longest time step.
        explicit: ``h_t`` sees ``m_{t-1}`` instead of ``m_t``, as torchrecurrent has it.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(LEM(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    State = LongState
    gates = ("hidden_step", "memory_step", "memory", "candidate")
    products = {  # noqa: RUF012
        "hidden": ("hidden_step", "memory_step", "memory"),
        "remembered": ("candidate",),
    }

    @checked
    def __init__(
        self,
        input_size: Count,
        hidden_size: Count,
        *,
        dt: Positive = 1.0,
        explicit: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.dt, self.explicit = dt, explicit

    def remembered(self, x: Any, h: Any, state: LongState) -> Tensor:
        """The memory that the output sees."""
        return state.memory if self.explicit else self._memory(x, h, state)

    def update(self, x: Any, h: Any, state: LongState) -> tuple[Tensor, LongState]:
        """The equations of the class."""
        step = self.dt * self.recurrent_activation(x.hidden_step + h.hidden_step)
        g = self.activation(x.candidate + h.candidate)
        hidden = (1 - step) * state.hidden + step * g
        return hidden, LongState(hidden, self._memory(x, h, state))

    def _memory(self, x: Any, h: Any, state: LongState) -> Tensor:
        step = self.dt * self.recurrent_activation(x.memory_step + h.memory_step)
        return (1 - step) * state.memory + step * self.activation(x.memory + h.memory)
