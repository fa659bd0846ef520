"""From a vector to class scores: dropout, an optional hidden layer, a linear map."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from seqlab.heads.dropout import dropout as make_dropout
from seqlab.options.resolve import resolve_activation
from seqlab.schema import Count, checked


class Classifier(nn.Module):
    """``W2 f(W1 x + b1) + b2`` with a hidden layer, ``W x + b`` without; dropout before each.

    Args:
        input_size: D.
        classes: C.
        hidden_size: the width of the hidden layer; None for none.
        activation: ``f``, a registered activation.
        dropout: in training.
    """

    @checked
    def __init__(
        self,
        input_size: int,
        classes: int,
        *,
        hidden_size: Count | None,
        activation: Any,
        dropout: float,
    ) -> None:
        super().__init__()
        self.dropout = make_dropout("dropout", dropout)
        self.activation = resolve_activation("activation", activation)
        self.hidden: nn.Linear | None = None
        if hidden_size is not None:
            self.hidden = nn.Linear(input_size, hidden_size)
            input_size = hidden_size
        self.output = nn.Linear(input_size, classes)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., D]`` to ``[..., C]``."""
        x = self.dropout(x)
        if self.hidden is not None:
            x = self.dropout(self.activation(self.hidden(x)))
        scores: Tensor = self.output(x)
        return scores
