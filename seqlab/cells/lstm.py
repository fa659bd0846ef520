"""The long short-term memory."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from seqlab.cells.base import VendorKernel
from seqlab.cells.fusable import vendor_kernel
from seqlab.cells.gated import GatedCell
from seqlab.schema import Count, checked


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
    With ``proj_size`` the output, and what U multiplies, is ``W_hr h_t``, as torch has it.

    Args:
        input_size: D.
        hidden_size: H.
        peepholes: the gates see the memory (Gers and Schmidhuber, "Recurrent nets that time and
            count", 2000): ``p_i * c_{t-1}``, ``p_f * c_{t-1}`` and ``p_o * c_t`` are added inside
            their sigmoids. The vectors p start at 0.
        coupled: ``f_t = 1 - i_t``, without weights of its own (the variant CIFG of Greff et al.,
            "LSTM: a search space odyssey", 2017).
        **options: the options of ``GatedCell``.

    Raises:
        OptionError: ``coupled`` with ``unit_forget_bias=True``, or a wrong option.

    Example:
        >>> import torch
        >>> cell = LSTMCell(3, 5, peepholes=True)
        >>> projected = cell.project(torch.ones(2, 1, 3))
        >>> output, state = cell.step(projected[:, 0], cell.initial_state(2))
        >>> output.shape, state.cell.shape
        (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    gates: tuple[str, ...] = ("input", "forget", "candidate", "output")
    State = LSTMState
    projects_state = True
    default_unit_forget_bias = True

    @checked
    def __init__(
        self,
        input_size: Count,
        hidden_size: Count,
        *,
        peepholes: bool = False,
        coupled: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.peepholes, self.coupled = peepholes, coupled
        if coupled:
            self.gates = ("input", "candidate", "output")
            self.default_unit_forget_bias = False
        seeing = [gate for gate in self.gates if gate != "candidate"]
        self.vectors = {f"peephole_{gate}": "zeros" for gate in seeing} if peepholes else {}

    def update(self, x: Any, h: Any, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """The six equations of the class."""
        i = self._gate("input", x.input + h.input, state.cell)
        f = 1 - i if self.coupled else self._gate("forget", x.forget + h.forget, state.cell)
        g = self.activation(x.candidate + h.candidate)
        cell = f * state.cell + i * g
        o = self._gate("output", x.output + h.output, cell)
        hidden = o * self.activation(cell)
        return hidden, LSTMState(hidden, cell)

    def _gate(self, name: str, value: Tensor, cell: Tensor) -> Tensor:
        if self.peepholes:
            value = value + getattr(self, f"peephole_{name}") * cell
        return self.recurrent_activation(value)

    def vendor_kernel(self) -> VendorKernel:
        """``lstm``, when the options are those of the vendor's kernel."""
        for option in ("peepholes", "coupled"):
            if getattr(self, option):
                return VendorKernel(None, f"the vendor's LSTM has no {option}")
        return vendor_kernel(self, "lstm", activation="tanh", recurrent_activation="sigmoid")
