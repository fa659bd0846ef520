"""Losses of regression: how far a predicted number is from the right one.

A loss says how many outputs the network gives it for each number (``parameters``), what they cost
and which number they stand for, so that losses with a spread or several quantiles fit as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from seqlab.schema import Positive, checked


class RegressionLoss(ABC):
    """From outputs ``[..., C, P]`` and goals ``[..., C]``, both standardised, to costs."""

    #: P, the outputs for each number.
    parameters: ClassVar[int] = 1
    #: The metric that agrees with the loss.
    monitor: ClassVar[str] = "mae"

    @abstractmethod
    def cost(self, outputs: Tensor, goal: Tensor) -> Tensor:
        """``[..., C]``: the cost of each number."""

    def value(self, outputs: Tensor) -> Tensor:
        """``[..., C]``: the number that the outputs stand for."""
        return outputs[..., 0]


class SquaredLoss(RegressionLoss):
    """``(y - goal)^2``: the best answer is the mean."""

    monitor = "rmse"

    def cost(self, outputs: Tensor, goal: Tensor) -> Tensor:
        """See the class."""
        return (self.value(outputs) - goal).square()


class AbsoluteLoss(RegressionLoss):
    """``|y - goal|``: the best answer is the median; outliers pull less."""

    def cost(self, outputs: Tensor, goal: Tensor) -> Tensor:
        """See the class."""
        return (self.value(outputs) - goal).abs()


class HuberLoss(RegressionLoss):
    """Half the square up to ``delta``, beyond it a straight line (Huber 1964).

    Args:
        delta: in standard deviations of the training rows' targets.
    """

    @checked
    def __init__(self, delta: Positive = 1.0) -> None:
        self.delta = delta

    def cost(self, outputs: Tensor, goal: Tensor) -> Tensor:
        """See the class."""
        return F.huber_loss(self.value(outputs), goal, reduction="none", delta=self.delta)
