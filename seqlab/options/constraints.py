"""Constraints under Keras's names: what a weight is projected onto after each optimiser step.

A cell shows its matrices as Keras holds them, ``[D, G*H]``; ``axis`` 0 is then the input of each
unit of each gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from torch import Tensor

from seqlab.errors import OptionError
from seqlab.schema import NonNegative, Range, Rule, Share, check_order, checked

#: Keras's fuzz factor, which keeps the division by a norm of 0 finite.
EPSILON = 1e-7


Axis = Annotated[int, Range(least=-2, most=1)]
#: One dimension of a matrix, or both.
Axes = Axis | Annotated[Sequence[Axis], Rule(bool, "a list of dimensions")]


class _Norm:
    """What the norm constraints share: norms over ``axis``, which a bias has only one of."""

    @checked
    def __init__(self, axis: Axes = 0) -> None:
        self.axis = (axis,) if isinstance(axis, int) else tuple(axis)

    def norm(self, weight: Tensor) -> Tensor:
        """The norms, with the summed dimensions kept as 1."""
        if any(not -weight.dim() <= a < weight.dim() for a in self.axis):
            raise OptionError(f"axis {self.axis} does not fit a {tuple(weight.shape)} weight")
        return weight.square().sum(self.axis, keepdim=True).sqrt()


class MaxNorm(_Norm):
    """Each column's norm is at most ``max_value`` (Srivastava et al., 2014)."""

    @checked
    def __init__(self, max_value: NonNegative = 2.0, axis: Axes = 0) -> None:
        super().__init__(axis)
        self.max_value = max_value

    def __call__(self, weight: Tensor) -> Tensor:
        """The projected weight."""
        norm = self.norm(weight)
        return weight * (norm.clamp(0, self.max_value) / (EPSILON + norm))


class MinMaxNorm(_Norm):
    """Each column's norm moves by ``rate`` towards ``[min_value, max_value]``."""

    @checked
    def __init__(
        self,
        min_value: NonNegative = 0.0,
        max_value: NonNegative = 1.0,
        rate: Share = 1.0,
        axis: Axes = 0,
    ) -> None:
        super().__init__(axis)
        check_order(min_value=min_value, max_value=max_value)
        self.min_value, self.max_value, self.rate = min_value, max_value, rate

    def __call__(self, weight: Tensor) -> Tensor:
        """The projected weight."""
        norm = self.norm(weight)
        wanted = norm.clamp(self.min_value, self.max_value)
        wanted = self.rate * wanted + (1 - self.rate) * norm
        return weight * (wanted / (EPSILON + norm))


class NonNeg:
    """No entry is negative."""

    def __call__(self, weight: Tensor) -> Tensor:
        """The projected weight."""
        return weight.clamp_min(0)


class UnitNorm(_Norm):
    """Each column has norm 1."""

    def __call__(self, weight: Tensor) -> Tensor:
        """The projected weight."""
        return weight / (EPSILON + self.norm(weight))
