"""The strongly typed RNNs, whose states are sums of inputs, and so can be told what they mean."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from seqlab import GatedCell
from seqlab.cells.linear import GatedLinearCell
from torch import Tensor

from seqlab_zoo.no_product import NO_PRODUCT


class TypedState(NamedTuple):
    """``hidden [B, H]``, and the products of the input before, each ``[B, H]``."""

    hidden: Tensor
    latent: Tensor
    forget: Tensor
    output: Tensor


class TRNN(GatedLinearCell):
    """A gated average of the input: linear in its state, so all steps run at once.

    Balduzzi and Ghifary, "Strongly-typed recurrent neural networks" (2016).

        f_t = sigmoid(W_f x_t + b_f)
        h_t = f_t * h_{t-1} + (1 - f_t) * (W_z x_t + b_z)

    Args:
        input_size: D.
        hidden_size: H.
        use_bias: whether there are biases.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(TRNN(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    gates = ("latent", "forget")

    def coefficients(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """``f_t`` and ``(1 - f_t) * z_t``."""
        latent, forget = self.gate(x_BTD, "latent", "forget")
        f = torch.sigmoid(forget)
        return f, (1 - f) * latent


class TGRU(GatedCell):
    """A gated sum of inputs, whose gates see this input and the last.

    Balduzzi and Ghifary, "Strongly-typed recurrent neural networks" (2016).

        z_t = W_z x_t + V_z x_{t-1} + b_z
        f_t = sigmoid(W_f x_t + V_f x_{t-1} + b_f)
        o_t = tanh(W_o x_t + V_o x_{t-1} + b_o)
        h_t = f_t * h_{t-1} + z_t * o_t

    The products of ``x_{t-1}`` are made when it comes, and kept in the state; they have biases of
    their own, and are 0 before the first step.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(TGRU(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    expected_failures: ClassVar[dict[str, str]] = NO_PRODUCT
    input_gates = (
        "latent", "forget", "output", "last_latent", "last_forget", "last_output",
    )  # fmt: skip
    recurrent_gates = ()
    State = TypedState

    def update(self, x: Any, h: Any, state: TypedState) -> tuple[Tensor, TypedState]:
        """The equations of the class."""
        del h
        f = self.recurrent_activation(x.forget + state.forget)
        o = self.activation(x.output + state.output)
        hidden = f * state.hidden + (x.latent + state.latent) * o
        return hidden, TypedState(hidden, x.last_latent, x.last_forget, x.last_output)


class TLSTM(GatedCell):
    """A gated average of inputs under an output gate; the gates see this input and the last.

    Balduzzi and Ghifary, "Strongly-typed recurrent neural networks" (2016).

        z_t = W_z x_t + V_z x_{t-1} + b_z
        f_t = sigmoid(W_f x_t + V_f x_{t-1} + b_f)
        o_t = tanh(W_o x_t + V_o x_{t-1} + b_o)
        c_t = f_t * c_{t-1} + (1 - f_t) * z_t
        y_t = c_t * o_t                                    output

    The products of ``x_{t-1}`` are made when it comes, and kept in the state (``hidden`` is c);
    they have biases of their own, and are 0 before the first step.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(TLSTM(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    expected_failures: ClassVar[dict[str, str]] = NO_PRODUCT
    input_gates = TGRU.input_gates
    recurrent_gates = ()
    State = TypedState

    def update(self, x: Any, h: Any, state: TypedState) -> tuple[Tensor, TypedState]:
        """The equations of the class."""
        del h
        f = self.recurrent_activation(x.forget + state.forget)
        o = self.activation(x.output + state.output)
        hidden = f * state.hidden + (1 - f) * (x.latent + state.latent)
        return hidden * o, TypedState(hidden, x.last_latent, x.last_forget, x.last_output)
