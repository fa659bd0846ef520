"""Relatives of the LSTM: more, fewer or other ways from the memory to its gates."""

from __future__ import annotations

from typing import Any, NamedTuple

from seqlab import GatedCell
from torch import Tensor

from seqlab_zoo.memory_state import MemoryState
from seqlab_zoo.nas import NAS
from seqlab_zoo.ran import RAN

__all__ = [
    "MCLSTM",
    "NAS",
    "RAN",
    "WMCLSTM",
    "ControlState",
    "MemoryState",
    "MultiplicativeLSTM",
    "OriginalLSTM",
    "PeepholeLSTM",
    "ResLSTM",
]


class ControlState(NamedTuple):
    """``control``, which the gates see, and ``cell``, the memory, each ``[B, H]``."""

    control: Tensor
    cell: Tensor


class OriginalLSTM(GatedCell):
    """The LSTM of 1997, without forget gate.

    Hochreiter and Schmidhuber, "Long short-term memory" (1997).

        i_t = sigmoid(W_i x_t + U_i h_{t-1} + b_i)
        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
        o_t = sigmoid(W_o x_t + U_o h_{t-1} + b_o)
        c_t = c_{t-1} + i_t * g_t
        h_t = o_t * tanh(c_t)

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(OriginalLSTM(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("input", "candidate", "output")
    State = MemoryState

    def update(self, x: Any, h: Any, state: MemoryState) -> tuple[Tensor, MemoryState]:
        """The equations of the class."""
        i = self.recurrent_activation(x.input + h.input)
        o = self.recurrent_activation(x.output + h.output)
        cell = state.cell + i * self.activation(x.candidate + h.candidate)
        hidden = o * self.activation(cell)
        return hidden, MemoryState(hidden, cell)


class PeepholeLSTM(GatedCell):
    """The LSTM whose gates see the memory, each unit its own.

    Gers and Schmidhuber, "Recurrent nets that time and count" (2000).

        i_t = sigmoid(W_i x_t + U_i h_{t-1} + p_i * c_{t-1} + b_i)
        f_t = sigmoid(W_f x_t + U_f h_{t-1} + p_f * c_{t-1} + b_f)
        c_t = f_t * c_{t-1} + i_t * tanh(W_g x_t + U_g h_{t-1} + b_g)
        o_t = sigmoid(W_o x_t + U_o h_{t-1} + p_o * c_t + b_o)
        h_t = o_t * tanh(c_t)

    The vectors p start at random, as in torchrecurrent; those of ``lstm`` with ``peepholes: true``
    start at 0.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(PeepholeLSTM(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("input", "forget", "candidate", "output")
    State = MemoryState
    vectors = {  # noqa: RUF012
        "peephole_input": "random_normal",
        "peephole_forget": "random_normal",
        "peephole_output": "random_normal",
    }

    def update(self, x: Any, h: Any, state: MemoryState) -> tuple[Tensor, MemoryState]:
        """The equations of the class."""
        i = self.recurrent_activation(x.input + h.input + self.peephole_input * state.cell)
        f = self.recurrent_activation(x.forget + h.forget + self.peephole_forget * state.cell)
        cell = f * state.cell + i * self.activation(x.candidate + h.candidate)
        o = self.recurrent_activation(x.output + h.output + self.peephole_output * cell)
        hidden = o * self.activation(cell)
        return hidden, MemoryState(hidden, cell)


class WMCLSTM(GatedCell):
    """The LSTM whose gates see the whole memory, through matrices and tanh.

    Landi, Baraldi, Cornia and Cucchiara, "Working memory connections for LSTM" (2021).

        i_t = sigmoid(W_i x_t + U_i h_{t-1} + tanh(V_i c_{t-1}) + b_i)
        f_t = sigmoid(W_f x_t + U_f h_{t-1} + tanh(V_f c_{t-1}) + b_f)
        c_t = f_t * c_{t-1} + i_t * tanh(W_g x_t + U_g h_{t-1} + b_g)
        o_t = sigmoid(W_o x_t + U_o h_{t-1} + tanh(V_o c_t) + b_o)
        h_t = o_t * tanh(c_t)

    Every product has a bias of its own.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(WMCLSTM(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    input_gates = ("input", "forget", "candidate", "output")
    recurrent_gates = (*input_gates, "memory_input", "memory_forget", "memory_output")
    products = {  # noqa: RUF012
        "hidden": input_gates,
        "cell": ("memory_input", "memory_forget"),
        "memory": ("memory_output",),
    }
    State = MemoryState
    recurrent_bias_gates = True

    def memory(self, x: Any, h: Any, state: MemoryState) -> Tensor:
        """The new memory, which the output gate sees."""
        i = self.recurrent_activation(x.input + h.input + self.activation(h.memory_input))
        f = self.recurrent_activation(x.forget + h.forget + self.activation(h.memory_forget))
        return f * state.cell + i * self.activation(x.candidate + h.candidate)

    def update(self, x: Any, h: Any, state: MemoryState) -> tuple[Tensor, MemoryState]:
        """The equations of the class."""
        cell = self.memory(x, h, state)
        o = self.recurrent_activation(x.output + h.output + self.activation(h.memory_output))
        hidden = o * self.activation(cell)
        return hidden, MemoryState(hidden, cell)


class MCLSTM(GatedCell):
    """An LSTM with two outputs: one is shown, one controls the gates.

    "Memory control LSTM", NIPS workshop on sequence modelling (2017), in the form of
    torchrecurrent.

        f_t, i_t, o_t, r_t = sigmoid(W x_t + U v_{t-1} + b)
        c_t = f_t * c_{t-1} + i_t * tanh(W_g x_t + U_g v_{t-1} + b_g)
        y_t = o_t * tanh(c_t)                             output
        v_t = r_t * tanh(c_t)                             control, which the matrices see

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(MCLSTM(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("forget", "input", "output", "control", "candidate")
    State = ControlState

    def update(self, x: Any, h: Any, state: ControlState) -> tuple[Tensor, ControlState]:
        """The equations of the class."""
        f = self.recurrent_activation(x.forget + h.forget)
        i = self.recurrent_activation(x.input + h.input)
        o = self.recurrent_activation(x.output + h.output)
        r = self.recurrent_activation(x.control + h.control)
        cell = f * state.cell + i * self.activation(x.candidate + h.candidate)
        shown = self.activation(cell)
        return o * shown, ControlState(r * shown, cell)


class MultiplicativeLSTM(GatedCell):
    """An LSTM whose gates see a state that the input has rescaled: other weights for each input.

    Krause, Lu, Murray and Renals, "Multiplicative LSTM for sequence modelling" (2016).

        m_t = (W_m x_t + b_m) * (U_m h_{t-1} + b'_m)
        i_t = sigmoid(W_i x_t + U_i m_t + b_i),  f_t and o_t likewise
        c_t = f_t * c_{t-1} + i_t * tanh(W_g x_t + U_g m_t + b_g)
        h_t = o_t * tanh(c_t)

    Deviations: biases in every product, and tanh around the candidate, as in torchrecurrent.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(MultiplicativeLSTM(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("factor", "input", "forget", "candidate", "output")
    products = {  # noqa: RUF012
        "hidden": ("factor",),
        "rescaled": ("input", "forget", "candidate", "output"),
    }
    State = MemoryState
    recurrent_bias_gates = True

    def rescaled(self, x: Any, h: Any, state: MemoryState) -> Tensor:
        """The state as the input rescales it."""
        del state
        return x.factor * h.factor

    def update(self, x: Any, h: Any, state: MemoryState) -> tuple[Tensor, MemoryState]:
        """The equations of the class."""
        i = self.recurrent_activation(x.input + h.input)
        f = self.recurrent_activation(x.forget + h.forget)
        o = self.recurrent_activation(x.output + h.output)
        cell = f * state.cell + i * self.activation(x.candidate + h.candidate)
        hidden = o * self.activation(cell)
        return hidden, MemoryState(hidden, cell)


class ResLSTM(GatedCell):
    """The residual LSTM: a projected memory, and the input beside it, under the output gate.

    Kim, El-Khamy and Lee, "Residual LSTM: Design of a deep recurrent architecture for distant
    speech recognition" (2017).

        i_t = sigmoid(W_i x_t + U_i h_{t-1} + p_i * c_{t-1} + b_i)
        f_t = sigmoid(W_f x_t + U_f h_{t-1} + p_f * c_{t-1} + b_f)
        c_t = f_t * c_{t-1} + i_t * tanh(W_g x_t + U_g h_{t-1} + b_g)
        o_t = sigmoid(W_o x_t + U_o h_{t-1} + p_o * c_t + b_o)
        h_t = o_t * (V tanh(c_t) + W_r x_t + b_r)

    Deviation: the way of the input has a bias, and a matrix even where it is as wide as the state.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(ResLSTM(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    input_gates = ("input", "forget", "candidate", "output", "residual")
    recurrent_gates = ("input", "forget", "candidate", "output", "projected")
    products = {"hidden": recurrent_gates[:4], "memory": ("projected",)}  # noqa: RUF012
    State = MemoryState
    vectors = PeepholeLSTM.vectors

    def memory(self, x: Any, h: Any, state: MemoryState) -> Tensor:
        """The new memory, squashed, which is projected."""
        return self.activation(self._cell(x, h, state))

    def update(self, x: Any, h: Any, state: MemoryState) -> tuple[Tensor, MemoryState]:
        """The equations of the class."""
        cell = self._cell(x, h, state)
        o = self.recurrent_activation(x.output + h.output + self.peephole_output * cell)
        hidden = o * (h.projected + x.residual)
        return hidden, MemoryState(hidden, cell)

    def _cell(self, x: Any, h: Any, state: MemoryState) -> Tensor:
        i = self.recurrent_activation(x.input + h.input + self.peephole_input * state.cell)
        f = self.recurrent_activation(x.forget + h.forget + self.peephole_forget * state.cell)
        return f * state.cell + i * self.activation(x.candidate + h.candidate)
