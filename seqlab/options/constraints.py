"""Constraints: what a weight is projected onto after each optimiser step."""

from __future__ import annotations

from torch import Tensor

EPSILON = 1e-7


def _norm(weight: Tensor, axis: int) -> Tensor:
    return weight.square().sum(axis, keepdim=True).sqrt()


class MaxNorm:
    """Each column's norm is at most ``max_value`` (Srivastava et al., 2014)."""

    def __init__(self, max_value: float = 2.0, axis: int = 0) -> None:
        self.max_value, self.axis = max_value, axis

    def __call__(self, weight: Tensor) -> Tensor:
        """The projected weight."""
        norm = _norm(weight, self.axis)
        return weight * (norm.clamp(0, self.max_value) / (EPSILON + norm))


class NonNeg:
    """No entry is negative."""

    def __call__(self, weight: Tensor) -> Tensor:
        """The projected weight."""
        return weight.clamp_min(0)


class UnitNorm:
    """Each column has norm 1."""

    def __init__(self, axis: int = 0) -> None:
        self.axis = axis

    def __call__(self, weight: Tensor) -> Tensor:
        """The projected weight."""
        return weight / (EPSILON + _norm(weight, self.axis))
