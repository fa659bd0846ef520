"""Light gated units: fewer gates, and a candidate that the state does not enter."""

from __future__ import annotations

from typing import Any, ClassVar

from seqlab import GatedCell, HiddenState
from seqlab.schema import Count, checked
from torch import Tensor


class LightRU(GatedCell):
    """One gate; the candidate is made of the input alone.

    Ye et al., "Light recurrent unit: Towards an interpretable recurrent neural network for modeling
    long-range dependency" (2024).

        f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)
        h_t = (1 - f_t) * h_{t-1} + f_t * tanh(W_g x_t + b_g)

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(LightRU(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    input_gates = ("candidate", "update")
    recurrent_gates = ("update",)
    State = HiddenState

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        f = self.recurrent_activation(x.update + h.update)
        hidden = (1 - f) * state.hidden + f * self.activation(x.candidate)
        return hidden, HiddenState(hidden)


class LiGRU(GatedCell):
    """A GRU without reset gate, and relu for its candidate.

    Ravanelli, Brakel, Omologo and Bengio, "Light gated recurrent units for speech recognition"
    (2018).

        z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z)
        h_t = z_t * h_{t-1} + (1 - z_t) * relu(W_g x_t + U_g h_{t-1} + b_g)

    Deviation: the paper normalises ``W x_t`` over the batch, which no step can do alone, and
    torchrecurrent does not either. ``layer_norm`` is the nearest option.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(LiGRU(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("update", "candidate")
    State = HiddenState
    expected_failures: ClassVar[dict[str, str]] = {
        "wide_layers_are_whole": "a unit whose relu stays at 0 keeps the state it had",
    }

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, *, activation: Any = "relu", **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, activation=activation, **options)

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        z = self.recurrent_activation(x.update + h.update)
        g = self.activation(x.candidate + h.candidate)
        hidden = z * state.hidden + (1 - z) * g
        return hidden, HiddenState(hidden)


class STAR(GatedCell):
    """A stackable unit: one gate, bounded state, gradients that neither grow nor fade with depth.

    Turkoglu, D'Aronco, Wegner and Schindler, "Gating revisited: Deep multi-layer RNNs that can be
    trained" (2021).

        k_t = sigmoid(W_k x_t + U_k h_{t-1} + b_k)
        h_t = tanh((1 - k_t) * h_{t-1} + k_t * tanh(W_g x_t + b_g))

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(STAR(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    input_gates = ("candidate", "update")
    recurrent_gates = ("update",)
    State = HiddenState

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        k = self.recurrent_activation(x.update + h.update)
        mixed = (1 - k) * state.hidden + k * self.activation(x.candidate)
        hidden = self.activation(mixed)
        return hidden, HiddenState(hidden)


class UGRNN(GatedCell):
    """The update gate RNN: one gate between the old state and a candidate.

    Collins, Sohl-Dickstein and Sussillo, "Capacity and trainability in recurrent neural networks"
    (2017).

        z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z)
        h_t = z_t * h_{t-1} + (1 - z_t) * tanh(W_g x_t + U_g h_{t-1} + b_g)

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(UGRNN(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("candidate", "update")
    State = HiddenState

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        z = self.recurrent_activation(x.update + h.update)
        hidden = z * state.hidden + (1 - z) * self.activation(x.candidate + h.candidate)
        return hidden, HiddenState(hidden)


class SGRN(GatedCell):
    """The simple gated recurrent net: the gate's own product is the candidate.

    IET Generation, Transmission and Distribution (2021), doi 10.1049/gtd2.12056, in the form of
    torchrecurrent.

        f_t = sigmoid(W x_t + U h_{t-1} + b + b')
        h_t = tanh((1 - f_t) * (W x_t + b) + f_t * h_{t-1})

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(SGRN(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("forget",)
    State = HiddenState
    recurrent_bias_gates = True

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equations of the class."""
        f = self.recurrent_activation(x.forget + h.forget)
        hidden = self.activation((1 - f) * x.forget + f * state.hidden)
        return hidden, HiddenState(hidden)
