"""Metrics of predicted numbers."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import MeanAbsoluteError, MeanSquaredError

from seqlab.heads.metrics.base import Outcome, TaskMetric, TorchMetric
from seqlab.types import TargetInfo


class MAE(TorchMetric):
    """The mean absolute error, over all rows and values, in the target's own units.

    Args:
        target: of kind ``values``.
    """

    needs = ("values",)
    higher_is_better = False

    def __init__(self, target: TargetInfo) -> None:
        super().__init__(target, MeanAbsoluteError())


class RMSE(TorchMetric):
    """The root of the mean squared error, over all rows and values, in the target's own units.

    Args:
        target: of kind ``values``.
    """

    needs = ("values",)
    higher_is_better = False

    def __init__(self, target: TargetInfo) -> None:
        super().__init__(target, MeanSquaredError(squared=False))


class R2(TaskMetric):
    """The share of the variance that is explained: 1 is perfect, 0 is the mean of these rows.

    The mean over values where there are several; a value that never varies among these rows is
    left out. NaN where nothing varies.

    Args:
        target: of kind ``values``.
    """

    needs = ("values",)
    higher_is_better = True
    full_state_update = False
    count: Tensor
    sums: Tensor
    squares: Tensor
    errors: Tensor

    def __init__(self, target: TargetInfo) -> None:
        super().__init__(target)
        statistics = target.statistics
        zero, one = (0.0,) * target.size, (1.0,) * target.size
        # numbers near 0 and 1, so that the sums of squares keep their digits
        center = torch.tensor(statistics.mean or zero, dtype=torch.float64)
        scale = torch.tensor(statistics.std or one, dtype=torch.float64)
        self.register_buffer("center", center, persistent=False)
        self.register_buffer("scale", scale, persistent=False)
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        for name in ("sums", "squares", "errors"):
            state = torch.zeros(target.size, dtype=torch.float64)
            self.add_state(name, state, dist_reduce_fx="sum")

    def update(self, outcome: Outcome) -> None:
        """Count one batch."""
        gold = (outcome.gold.double() - self.center) / self.scale
        answer = (outcome.answer.double() - self.center) / self.scale
        self.count += len(gold)
        self.sums += gold.sum(0)
        self.squares += gold.square().sum(0)
        self.errors += (gold - answer).square().sum(0)

    def compute(self) -> Tensor:
        """One number over all updates."""
        spread = self.squares - self.sums.square() / self.count.clamp(min=1)
        varies = spread > 1e-12 * self.squares
        if not bool(varies.any()):
            return self.sums.new_tensor(float("nan"))
        return (1 - self.errors[varies] / spread[varies]).mean()
