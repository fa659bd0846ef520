"""The cell that a search over trees of operations found."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from seqlab import GatedCell
from torch import Tensor

from seqlab_zoo.memory_state import MemoryState


class NAS(GatedCell):
    """The cell that a search over trees of operations found.

    Zoph and Le, "Neural architecture search with reinforcement learning" (2017), figure 8.

        g_k = W_k x_t + U_k h_{t-1} + b_k                  for the gates p q r s k l m n
        u_t = tanh(tanh(sigmoid(g_p) * relu(g_q)) + c_{t-1})
        c_t = u_t * tanh(sigmoid(g_r) + relu(g_s))
        v_t = tanh(tanh(tanh(g_k) * sigmoid(g_l)) + sigmoid(tanh(g_m) + sigmoid(g_n)))
        h_t = tanh(c_t * v_t)

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(NAS(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("p", "q", "r", "s", "k", "l", "m", "n")
    State = MemoryState
    expected_failures: ClassVar[dict[str, str]] = {
        "wide_layers_are_whole": "a unit whose g_q stays below 0 keeps an empty memory",
    }

    def update(self, x: Any, h: Any, state: MemoryState) -> tuple[Tensor, MemoryState]:
        """The equations of the class."""
        g = [a + b for a, b in zip(x, h, strict=True)]
        tanh, sigmoid = self.activation, self.recurrent_activation
        u = tanh(tanh(sigmoid(g[0]) * torch.relu(g[1])) + state.cell)
        cell = u * tanh(sigmoid(g[2]) + torch.relu(g[3]))
        v = tanh(tanh(tanh(g[4]) * sigmoid(g[5])) + sigmoid(tanh(g[6]) + sigmoid(g[7])))
        hidden = tanh(cell * v)
        return hidden, MemoryState(hidden, cell)
