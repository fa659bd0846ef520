"""Regularizers under Keras's names: a penalty, a scalar, of a weight or an output."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlab.errors import ShapeError
from seqlab.schema import NonNegative, checked


class L1L2:
    """``l1 * sum |w| + l2 * sum w^2``; both factors are 0 unless given, as in Keras.

    Raises:
        OptionError: a factor is not a finite number of at least 0.
    """

    @checked
    def __init__(self, l1: NonNegative = 0.0, l2: NonNegative = 0.0) -> None:
        self.l1, self.l2 = l1, l2

    def __call__(self, weight: Tensor) -> Tensor:
        """The penalty of a tensor of any shape."""
        penalty = weight.new_zeros(())
        if self.l1:
            penalty = penalty + self.l1 * weight.abs().sum()
        if self.l2:
            penalty = penalty + self.l2 * weight.square().sum()
        return penalty


class L1(L1L2):
    """``l1 * sum |w|``."""

    def __init__(self, l1: NonNegative = 0.01) -> None:
        super().__init__(l1=l1)


class L2(L1L2):
    """``l2 * sum w^2``."""

    def __init__(self, l2: NonNegative = 0.01) -> None:
        super().__init__(l2=l2)


class Orthogonal:
    """``factor`` times the mean |cosine| of all pairs of rows (or columns).

    Of a matrix ``[fan_in, fan_out]``. With one row (or column) there is no pair: 0.

    Args:
        factor: the weight of the penalty, at least 0.
        mode: ``rows`` or ``columns``.

    Raises:
        OptionError: a wrong factor or mode.
    """

    @checked
    def __init__(
        self, factor: NonNegative = 0.01, mode: Literal["rows", "columns"] = "rows"
    ) -> None:
        self.factor, self.mode = factor, mode

    def __call__(self, weight: Tensor) -> Tensor:
        """The penalty of a matrix.

        Raises:
            ShapeError: the tensor is not a matrix.
        """
        if weight.dim() != 2:
            raise ShapeError(
                f"orthogonal regularizer: needs a matrix [a, b], got {tuple(weight.shape)}"
            )
        rows = F.normalize(weight if self.mode == "rows" else weight.T, dim=1)
        pairs = torch.triu(rows @ rows.T, diagonal=1)
        count = rows.shape[0] * (rows.shape[0] - 1) / 2
        return self.factor * pairs.abs().sum() / max(count, 1.0)
