"""The sLSTM of the xLSTM family."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from seqlab import GatedCell
from torch import Tensor


class ScaledState(NamedTuple):
    """``hidden``, ``cell`` and ``normaliser``, both times ``exp(-stabiliser)``, each ``[B, H]``."""

    hidden: Tensor
    cell: Tensor
    normaliser: Tensor
    stabiliser: Tensor


class SLSTM(GatedCell):
    """An LSTM with exponential gates and a normalised memory.

    Beck et al., "xLSTM: Extended long short-term memory" (2024), equations 8 to 18.

        m_t = max(log sigmoid(f'_t) + m_{t-1}, i'_t)       i', f', o': gates before their functions
        i_t = exp(i'_t - m_t)
        f_t = exp(log sigmoid(f'_t) + m_{t-1} - m_t)
        c_t = f_t * c_{t-1} + i_t * tanh(W_g x_t + U_g h_{t-1} + b_g)
        n_t = f_t * n_{t-1} + i_t
        h_t = sigmoid(o'_t) * c_t / n_t

    ``m_t`` is ``i'_t`` where the normaliser is still 0, unit by unit. The paper's recurrent
    matrices have blocks: ``heads: 4``.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(SLSTM(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("input", "forget", "candidate", "output")
    State = ScaledState

    def update(self, x: Any, h: Any, state: ScaledState) -> tuple[Tensor, ScaledState]:
        """The equations of the class."""
        i = x.input + h.input
        log_f = torch.nn.functional.logsigmoid(x.forget + h.forget) + state.stabiliser
        log_f = torch.where(state.normaliser == 0, i, log_f)
        m = torch.maximum(log_f, i)
        i, f = torch.exp(i - m), torch.exp(log_f - m)
        cell = f * state.cell + i * self.activation(x.candidate + h.candidate)
        normaliser = f * state.normaliser + i
        hidden = self.recurrent_activation(x.output + h.output) * cell / normaliser
        return hidden, ScaledState(hidden, cell, normaliser, m)
