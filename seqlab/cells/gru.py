"""The gated recurrent unit, in both published forms."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from seqlab.cells.base import HiddenState, VendorKernel
from seqlab.cells.fusable import vendor_kernel
from seqlab.cells.gated import GatedCell
from seqlab.schema import Count, checked


class GRUCell(GatedCell):
    """The gated recurrent unit (Cho et al., "Learning phrase representations", 2014).

        r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)                  reset gate
        z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z)                  update gate
        n_t = tanh(W_n x_t + b_n + r_t * (U_n h_{t-1} + c_n))       candidate, reset_after=True
        n_t = tanh(W_n x_t + U_n (r_t * h_{t-1}) + b_n)             candidate, reset_after=False
        h_t = z_t * h_{t-1} + (1 - z_t) * n_t                       output

    ``reset_after=True`` is the form of cuDNN, torch and Keras, with a second bias for the recurrent
    product; ``reset_after=False`` is the paper's (version 3), which needs a second product.

    Args:
        input_size: D.
        hidden_size: H.
        reset_after: whether the reset gate is applied after the recurrent product.
        **options: the options of ``GatedCell``.

    Example:
        >>> import torch
        >>> cell = GRUCell(3, 5, reset_after=False)
        >>> projected = cell.project(torch.ones(2, 1, 3))
        >>> output, state = cell.step(projected[:, 0], cell.initial_state(2))
        >>> output.shape
        torch.Size([2, 5])
    """

    gates = ("reset", "update", "candidate")
    State = HiddenState

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, *, reset_after: bool = True, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.reset_after = reset_after
        self.second_gates = () if reset_after else ("candidate",)
        self.recurrent_bias_gates = reset_after

    def second_input(self, x: Any, h: Any, state: HiddenState) -> Tensor:
        """``r_t * h_{t-1}``, for ``reset_after=False``."""
        return self.recurrent_activation(x.reset + h.reset) * state.hidden

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        z = self.recurrent_activation(x.update + h.update)
        recurrent = h.candidate
        if self.reset_after:
            recurrent = self.recurrent_activation(x.reset + h.reset) * recurrent
        n = self.activation(x.candidate + recurrent)
        hidden = z * state.hidden + (1 - z) * n
        return hidden, HiddenState(hidden)

    def vendor_kernel(self) -> VendorKernel:
        """``gru``, when the options are those of the vendor's kernel."""
        if not self.reset_after:
            return VendorKernel(None, "the vendor's GRU has reset_after=True only")
        return vendor_kernel(self, "gru", activation="tanh", recurrent_activation="sigmoid")
