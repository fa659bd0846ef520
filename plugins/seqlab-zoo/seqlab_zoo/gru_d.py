"""The GRU for series with missing values."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from seqlab import Cell
from seqlab.errors import OptionError
from seqlab.schema import Count, checked
from torch import Tensor, nn


class LastSeenState(NamedTuple):
    """``hidden [B, H]``, and the values that were last there, ``last [B, V]``."""

    hidden: Tensor
    last: Tensor


class GRUD(Cell):
    """A GRU whose input and state fade to their means with the time since values were seen.

    Che, Purushotham, Cho, Sontag and Liu, "Recurrent neural networks for multivariate time series
    with missing values" (2018). The inputs are V values, V flags of what was observed, and V times
    since then, as the transform ``gaps`` makes them; the values' means are 0.

        a_t = exp(-max(0, w_a * d_t + b_a))                     of the values, each its own
        v_t = m_t * x_t + (1 - m_t) * a_t * x'_{t-1}            x' are the values last seen
        k_t = exp(-max(0, W_k d_t + b_k)) * h_{t-1}
        z_t, r_t = sigmoid(W [v_t, m_t] + U k_t + b)
        h_t = (1 - z_t) * k_t + z_t * tanh(W_g [v_t, m_t] + U_g (r_t * k_t) + b_g)

    Args:
        input_size: D = 3 V.
        hidden_size: H.
        **options: ``dropout`` and ``zoneout``, as for ``seqlab.Cell``.

    Raises:
        OptionError: D is no multiple of 3.

    Example:
        >>> import seqlab
        >>> seqlab.Recurrent(GRUD(6, 5))(torch.zeros(2, 7, 6))[0].shape
        torch.Size([2, 7, 5])
    """

    State = LastSeenState
    made_in_setup = ("value_rate", "value_bias")

    @checked
    def __init__(self, input_size: Count, hidden_size: Count, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        if input_size % 3:
            raise OptionError(
                "gru_d takes values, what was observed of them, and the time since then, as many "
                f"of each, so input_size must be a multiple of 3, got {input_size}"
            )
        self.values = input_size // 3
        self.fade = nn.Linear(self.values, hidden_size)
        self.from_input = nn.Linear(2 * self.values, 3 * hidden_size)
        self.gates_from_state = nn.Linear(hidden_size, 2 * hidden_size, bias=False)
        self.candidate_from_state = nn.Linear(hidden_size, hidden_size, bias=False)

    def make_parameters(self) -> None:
        """How the values fade, each by its own numbers."""
        self.value_rate = nn.Parameter(torch.empty(self.values))
        self.value_bias = nn.Parameter(torch.empty(self.values))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """As torch's linear layers; values fade at rates of 0 to 1 at first."""
        for part in self.children():
            part.reset_parameters()
        self.value_rate.uniform_()
        self.value_bias.zero_()

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """H and V."""
        return (self.hidden_size, self.values)

    def step(
        self, projected_t: Any, state: LastSeenState, noise: Any = None
    ) -> tuple[Tensor, LastSeenState]:
        """The equations of the class."""
        del noise  # it stands around this
        given, seen, gap = projected_t.chunk(3, -1)
        kept = torch.exp(-F.relu(self.value_rate * gap + self.value_bias))
        value = seen * given + (1 - seen) * kept * state.last
        hidden = torch.exp(-F.relu(self.fade(gap))) * state.hidden
        z, r, g = self.from_input(torch.cat([value, seen], -1)).chunk(3, -1)
        more_z, more_r = self.gates_from_state(hidden).chunk(2, -1)
        z, r = torch.sigmoid(z + more_z), torch.sigmoid(r + more_r)
        g = torch.tanh(g + self.candidate_from_state(r * hidden))
        last = seen * given + (1 - seen) * state.last
        new = (1 - z) * hidden + z * g
        return new, LastSeenState(new, last)
