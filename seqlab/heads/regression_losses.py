"""Losses of predicted numbers: how far a number, or a distribution of it, is from the right one.

A loss says how many outputs the network gives it for each number (``parameters``), what they cost
and which numbers they stand for. Outputs are of one size, whatever the unit: with outputs z, a
number is ``center + scale * z``, where ``Units`` holds the two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlab.schema import Positive, checked


class Units(NamedTuple):
    """What the outputs' zero and one stand for: numbers, or tensors that go with ``[..., C]``."""

    center: Tensor
    scale: Tensor

    def scaled(self, target: Tensor, dtype: torch.dtype) -> Tensor:
        """Numbers in their own units as the outputs have them."""
        return ((target.double() - self.center) / self.scale).to(dtype)

    def own(self, outputs: Tensor) -> Tensor:
        """Outputs as numbers in their own units, float64."""
        return outputs.double() * self.scale + self.center


class RegressionLoss(ABC):
    """From outputs ``[..., C, P]`` and targets ``[..., C]`` to costs."""

    #: P, the outputs for each number.
    parameters: int = 1
    #: The metric that agrees with the loss.
    monitor: ClassVar[str] = "mae"
    #: The quantiles that the outputs tell of, in rising order; none for a number alone.
    levels: tuple[float, ...] = ()
    #: What a target must be beside a number; empty for nothing.
    expects: ClassVar[str] = ""

    @abstractmethod
    def cost(self, outputs: Tensor, target: Tensor, units: Units) -> Tensor:
        """``[..., C]``: the cost of each number, of at least float32."""

    def value(self, outputs: Tensor, units: Units) -> Tensor:
        """``[..., C]`` float64: the number that the outputs stand for, in its own units."""
        return units.own(outputs[..., 0])

    def quantiles(self, outputs: Tensor, units: Units) -> Tensor | None:
        """``[..., C, Q]`` float64: the quantiles of ``levels``, in their own units."""
        del outputs, units
        return None

    def impossible(self, target: Tensor) -> Tensor:
        """``[..., C]`` bool: targets that have no cost."""
        return torch.zeros_like(target, dtype=torch.bool)


class SquaredLoss(RegressionLoss):
    """``(y - goal)^2``: the best answer is the mean."""

    monitor = "rmse"

    def cost(self, outputs: Tensor, target: Tensor, units: Units) -> Tensor:
        """See the class."""
        return (outputs[..., 0] - units.scaled(target, outputs.dtype)).square()


class AbsoluteLoss(RegressionLoss):
    """``|y - goal|``: the best answer is the median; outliers pull less."""

    def cost(self, outputs: Tensor, target: Tensor, units: Units) -> Tensor:
        """See the class."""
        return (outputs[..., 0] - units.scaled(target, outputs.dtype)).abs()


class HuberLoss(RegressionLoss):
    """Half the square up to ``delta``, beyond it a straight line (Huber 1964).

    Args:
        delta: in the outputs' units: standard deviations of the training rows' targets.
    """

    @checked
    def __init__(self, delta: Positive = 1.0) -> None:
        self.delta = delta

    def cost(self, outputs: Tensor, target: Tensor, units: Units) -> Tensor:
        """See the class."""
        goal = units.scaled(target, outputs.dtype)
        return F.huber_loss(outputs[..., 0], goal, reduction="none", delta=self.delta)


class QuantileLoss(RegressionLoss):
    """The pinball loss, its mean over quantiles (Koenker and Bassett 1978).

        cost = mean over q of max(q * e, (q - 1) * e)      e = goal - y_q
        y_middle = z_middle;  upwards y_q = y_before + softplus(z_q), downwards y_after - softplus

    So the quantiles of an answer never cross. Its number is the quantile nearest to the median.

    Args:
        levels: the quantiles, in rising order.
    """

    monitor = "pinball"

    def __init__(self, levels: tuple[float, ...]) -> None:
        self.levels, self.parameters = levels, len(levels)
        self.middle = min(range(len(levels)), key=lambda place: abs(levels[place] - 0.5))

    def cost(self, outputs: Tensor, target: Tensor, units: Units) -> Tensor:
        """See the class."""
        goal = units.scaled(target, outputs.dtype).unsqueeze(-1)
        return pinball(self._ordered(outputs), goal, self.levels).mean(-1)

    def value(self, outputs: Tensor, units: Units) -> Tensor:
        """The quantile nearest to the median."""
        return units.own(outputs[..., self.middle])

    def quantiles(self, outputs: Tensor, units: Units) -> Tensor:
        """See the base class."""
        return spread_out(units).own(self._ordered(outputs))

    def _ordered(self, outputs: Tensor) -> Tensor:
        middle = outputs[..., self.middle : self.middle + 1]
        above = F.softplus(outputs[..., self.middle + 1 :]).cumsum(-1)
        below = F.softplus(outputs[..., : self.middle]).flip(-1).cumsum(-1).flip(-1)
        return torch.cat([middle - below, middle, middle + above], dim=-1)


def pinball(quantiles: Tensor, target: Tensor, levels: tuple[float, ...]) -> Tensor:
    """``[..., Q]``: what quantiles ``[..., Q]`` cost where the truth is ``target [..., 1]``.

    >>> pinball(torch.tensor([1.0, 5.0]), torch.tensor([3.0]), (0.1, 0.9))
    tensor([0.2000, 0.2000])
    """
    error = target - quantiles
    level = error.new_tensor(levels)
    return torch.maximum(level * error, (level - 1) * error)


def spread_out(units: Units) -> Units:
    """Units that go with ``[..., C, Q]``."""
    return Units(units.center.unsqueeze(-1), units.scale.unsqueeze(-1))
