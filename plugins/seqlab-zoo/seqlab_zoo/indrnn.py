"""The independently recurrent neural network."""

from __future__ import annotations

from typing import Any, ClassVar

from seqlab import GatedCell, HiddenState
from torch import Tensor

from seqlab_zoo.no_product import NO_PRODUCT


class IndRNN(GatedCell):
    """Units that see the input and their own past, and no other unit's.

    Li, Li, Cook, Zhu and Gao, "Independently recurrent neural network (IndRNN): Building a longer
    and deeper RNN" (2018).

        h_t = tanh(W x_t + u * h_{t-1} + b)

    The paper uses relu: ``activation: relu``.

    Args:
        input_size: D.
        hidden_size: H.
        **options: those of ``seqlab.GatedCell``.

    Example:
        >>> import seqlab, torch
        >>> seqlab.Recurrent(IndRNN(3, 5))(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])
    """

    expected_failures: ClassVar[dict[str, str]] = NO_PRODUCT
    input_gates = ("candidate",)
    recurrent_gates = ()
    State = HiddenState
    vectors = {"own": {"name": "random_uniform", "minval": 0.0, "maxval": 1.0}}  # noqa: RUF012

    def update(self, x: Any, h: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The equation of the class."""
        del h
        hidden = self.activation(x.candidate + self.own * state.hidden)
        return hidden, HiddenState(hidden)
