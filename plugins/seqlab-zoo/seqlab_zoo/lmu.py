"""The Legendre memory unit."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from seqlab import Cell
from seqlab.schema import Count, Positive, checked
from torch import Tensor, nn


class LegendreState(NamedTuple):
    """``hidden [B, H]``, and ``memory [B, order]``, coefficients of Legendre polynomials."""

    hidden: Tensor
    memory: Tensor


class LMU(Cell):
    """A fixed linear memory of the last ``theta`` steps of one signal, and units that read it.

    Voelker, Kajic and Eliasmith, "Legendre memory units: Continuous-time representation in
    recurrent neural networks" (2019), equations 2, 6 and 7.

        u_t = e_x x_t + e_h h_{t-1} + e_m m_{t-1}          one number
        m_t = A m_{t-1} + B u_t                            A and B are fixed, by zero-order hold
        h_t = tanh(W_x x_t + W_h h_{t-1} + W_m m_t + b)

    Args:
        input_size: D.
        hidden_size: H.
        order: the number of coefficients.
        theta: the length of the window, in steps.
        **options: ``dropout`` and ``zoneout``, as for ``seqlab.Cell``.

    Example:
        >>> import seqlab
        >>> seqlab.Recurrent(LMU(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    State = LegendreState

    @checked
    def __init__(
        self,
        input_size: Count,
        hidden_size: Count,
        *,
        order: Count = 16,
        theta: Positive = 64.0,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.order, self.theta = order, theta
        self.from_input = nn.Linear(input_size, hidden_size + 1)
        self.from_hidden = nn.Linear(hidden_size, hidden_size + 1, bias=False)
        self.from_memory = nn.Linear(order, hidden_size, bias=False)
        self.encoder = nn.Linear(order, 1, bias=False)
        kept, written = legendre(order, theta)
        self.register_buffer("kept", kept)
        self.register_buffer("written", written)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """H and the order."""
        return (self.hidden_size, self.order)

    def project(self, x_BTD: Tensor, noise: Any = None) -> Tensor:
        """What the input gives to units and memory: ``[B, T, H + 1]``."""
        del noise  # it stands around this
        made: Tensor = self.from_input(x_BTD)
        return made

    def step(
        self, projected_t: Tensor, state: LegendreState, noise: Any = None
    ) -> tuple[Tensor, LegendreState]:
        """The equations of the class."""
        del noise
        both = projected_t + self.from_hidden(state.hidden)
        signal = both[..., -1:] + self.encoder(state.memory)
        memory = state.memory @ self.kept.T + signal * self.written
        hidden = torch.tanh(both[..., :-1] + self.from_memory(memory))
        return hidden, LegendreState(hidden, memory)


def legendre(order: int, theta: float) -> tuple[Tensor, Tensor]:
    """A ``[order, order]`` and B ``[order]`` of one step, by zero-order hold.

    >>> kept, written = legendre(2, 10.0)
    >>> [round(float(n), 4) for n in (kept[0, 0], written[0])]
    [0.8922, 0.1078]
    """
    rows, columns = torch.meshgrid(torch.arange(order), torch.arange(order), indexing="ij")
    signs = torch.where(rows < columns, -1.0, (-1.0) ** (rows - columns + 1)).double()
    scale = (2 * torch.arange(order) + 1).double().unsqueeze(1) / theta
    change, into = scale * signs, scale * (-1.0) ** torch.arange(order).double().unsqueeze(1)
    kept = torch.linalg.matrix_exp(change)
    identity = torch.eye(order, dtype=torch.float64)
    written = torch.linalg.solve(change, (kept - identity) @ into).squeeze(1)
    return kept.float(), written.float()
