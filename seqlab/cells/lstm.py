"""The long short-term memory."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from seqlab.cells.base import VendorKernel
from seqlab.cells.fusable import vendor_kernel
from seqlab.cells.gated import GatedCell


class LSTMState(NamedTuple):
    """``hidden`` (the output) and ``cell`` (the memory), each ``[B, H]``."""

    hidden: Tensor
    cell: Tensor


class LSTMCell(GatedCell):
    """The long short-term memory with forget gate.

    Hochreiter and Schmidhuber, "Long short-term memory" (1997); the forget gate is from Gers,
    Schmidhuber and Cummins, "Learning to forget" (2000).

        i_t = sigmoid(W_i x_t + U_i h_{t-1} + b_i)      input gate: what is written
        f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)      forget gate: what is kept
        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)         candidate
        o_t = sigmoid(W_o x_t + U_o h_{t-1} + b_o)      output gate: what is shown
        c_t = f_t * c_{t-1} + i_t * g_t                 cell state
        h_t = o_t * tanh(c_t)                           output

    ``recurrent_activation`` replaces sigmoid and ``activation`` both tanh. The forget gate's bias
    starts at 1 (Jozefowicz et al., 2015), as in Keras; weights hold the gates in the order above.

    Example:
        >>> import torch
        >>> cell = LSTMCell(3, 5)
        >>> projected = cell.project(torch.ones(2, 1, 3))
        >>> output, state = cell.step(projected[:, 0], cell.initial_state(2))
        >>> output.shape, state.cell.shape
        (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    gates = ("input", "forget", "candidate", "output")
    State = LSTMState
    default_unit_forget_bias: ClassVar[bool] = True

    def update(self, x: Any, h: Any, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """The six equations of the class."""
        i = self.recurrent_activation(x.input + h.input)
        f = self.recurrent_activation(x.forget + h.forget)
        g = self.activation(x.candidate + h.candidate)
        o = self.recurrent_activation(x.output + h.output)
        cell = f * state.cell + i * g
        hidden = o * self.activation(cell)
        return hidden, LSTMState(hidden, cell)

    def vendor_kernel(self) -> VendorKernel:
        """``lstm``, when the options are those of the vendor's kernel."""
        return vendor_kernel(self, "lstm", activation="tanh", recurrent_activation="sigmoid")
