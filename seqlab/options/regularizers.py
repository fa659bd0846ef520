"""Regularizers: a penalty, a scalar, of a weight or an output."""

from __future__ import annotations

from torch import Tensor


class L1L2:
    """``l1 * sum |w| + l2 * sum w^2``."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = l1, l2

    def __call__(self, weight: Tensor) -> Tensor:
        """The penalty of a tensor of any shape."""
        return self.l1 * weight.abs().sum() + self.l2 * weight.square().sum()


class L1(L1L2):
    """``l1 * sum |w|``."""

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)


class L2(L1L2):
    """``l2 * sum w^2``."""

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)
