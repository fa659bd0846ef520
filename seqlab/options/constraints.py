"""Constraints under Keras's names: what a weight is projected onto after each optimiser step.

A cell shows its matrices as Keras holds them, ``[D, G*H]``; ``axis`` 0 is then the input of each
unit of each gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from seqlab.errors import OptionError
from seqlab.schema import NonNegative, Share, check_value

#: Keras's fuzz factor, which keeps the division by a norm of 0 finite.
EPSILON = 1e-7


def _check_axis(axis: Any) -> tuple[int, ...]:
    axes = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    if not axes or not all(type(a) is int and -2 <= a <= 1 for a in axes):
        raise OptionError(f"axis must be 0 or 1, or a list of both, got {axis!r}")
    return axes


class _Norm:
    """What the norm constraints share: norms over ``axis``, which a bias has only one of."""

    axis: tuple[int, ...]

    def norm(self, weight: Tensor) -> Tensor:
        """The norms, with the summed dimensions kept as 1."""
        if any(not -weight.dim() <= a < weight.dim() for a in self.axis):
            raise OptionError(f"axis {self.axis} does not fit a {tuple(weight.shape)} weight")
        return weight.square().sum(self.axis, keepdim=True).sqrt()


class MaxNorm(_Norm):
    """Each column's norm is at most ``max_value`` (Srivastava et al., 2014)."""

    def __init__(self, max_value: float = 2.0, axis: int | Sequence[int] = 0) -> None:
        self.max_value = check_value(max_value, NonNegative, "max_value")
        self.axis = _check_axis(axis)

    def __call__(self, weight: Tensor) -> Tensor:
        """The projected weight."""
        norm = self.norm(weight)
        return weight * (norm.clamp(0, self.max_value) / (EPSILON + norm))


class MinMaxNorm(_Norm):
    """Each column's norm moves by ``rate`` towards ``[min_value, max_value]``."""

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: int | Sequence[int] = 0,
    ) -> None:
        self.min_value = check_value(min_value, NonNegative, "min_value")
        self.max_value = check_value(max_value, NonNegative, "max_value")
        if self.min_value > self.max_value:
            raise OptionError(f"min_value {min_value} must not be above max_value {max_value}")
        self.rate = check_value(rate, Share, "rate")
        self.axis = _check_axis(axis)

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

    def __init__(self, axis: int | Sequence[int] = 0) -> None:
        self.axis = _check_axis(axis)

    def __call__(self, weight: Tensor) -> Tensor:
        """The projected weight."""
        return weight / (EPSILON + self.norm(weight))
