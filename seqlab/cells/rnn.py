"""The simple recurrent net of Elman (1990)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from seqlab.cells.base import HiddenState, VendorKernel
from seqlab.cells.fusable import vendor_kernel
from seqlab.cells.gated import GatedCell


class RNNCell(GatedCell):
    """The simple recurrent net (Elman, "Finding structure in time", 1990).

        h_t = act(W x_t + U h_{t-1} + b)

    ``activation`` is act, tanh by default; ``recurrent_activation`` has no part in it.

    Example:
        >>> import torch
        >>> cell = RNNCell(3, 5)
        >>> projected = cell.project(torch.ones(2, 1, 3))
        >>> output, state = cell.step(projected[:, 0], cell.initial_state(2))
        >>> output.shape
        torch.Size([2, 5])
    """

    gates = ("candidate",)
    State = HiddenState

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """One line of equations; see the class."""
        del state
        hidden = self.activation(x.candidate + h.candidate)
        return hidden, HiddenState(hidden)

    def vendor_kernel(self) -> VendorKernel:
        """``rnn_tanh`` or ``rnn_relu``, when the options are those of the vendor's kernel."""
        name = {"tanh": "rnn_tanh", "relu": "rnn_relu"}.get(str(self.activation_spec))
        if name is None:
            return VendorKernel(None, "the vendor's RNN has activation tanh or relu only")
        return vendor_kernel(self, name)
