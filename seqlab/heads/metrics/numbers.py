"""Metrics of predicted numbers."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import (
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
    SymmetricMeanAbsolutePercentageError,
)

from seqlab.heads.metrics.base import Outcome, TaskMetric, TorchMetric
from seqlab.types import TargetInfo

NUMBERS = ("values", "step_values", "horizon")


class NumbersMetric(TorchMetric):
    """A metric of torchmetrics over all numbers that are known.

    Args:
        target: of kind ``values``, ``step_values`` or ``horizon``.
        metric: of torchmetrics.
    """

    needs = NUMBERS
    higher_is_better = False

    def __init__(self, target: TargetInfo, metric: Metric) -> None:
        super().__init__(target, metric)

    def update(self, outcome: Outcome) -> None:
        """Count one batch."""
        known = ~outcome.gold.isnan()
        super().update(Outcome(outcome.answer[known], outcome.gold[known].to(outcome.answer.dtype)))


class MAE(NumbersMetric):
    """The mean absolute error, over all rows, steps and values, in the target's own units.

    Args:
        target: of kind ``values``, ``step_values`` or ``horizon``.
    """

    def __init__(self, target: TargetInfo) -> None:
        super().__init__(target, MeanAbsoluteError())


class RMSE(NumbersMetric):
    """The root of the mean squared error, over all rows, steps and values, in the target's units.

    Args:
        target: of kind ``values``, ``step_values`` or ``horizon``.
    """

    def __init__(self, target: TargetInfo) -> None:
        super().__init__(target, MeanSquaredError(squared=False))


class SMAPE(NumbersMetric):
    """The symmetric absolute percentage error, a fraction from 0 to 2.

        mean of 2 |y - answer| / (|y| + |answer|)

    as the M3 and M4 competitions have it (Makridakis and Hibon 2000), there times 100.

    Args:
        target: of kind ``values``, ``step_values`` or ``horizon``.
    """

    def __init__(self, target: TargetInfo) -> None:
        super().__init__(target, SymmetricMeanAbsolutePercentageError())


class R2(TaskMetric):
    """The share of the variance that is explained: 1 is perfect, 0 is the mean of these rows.

    The mean over values where there are several; a value that never varies among these rows is
    left out. NaN where nothing varies.

    Args:
        target: of kind ``values``.
    """

    needs = NUMBERS
    higher_is_better = True
    full_state_update = False
    counts: Tensor
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
        counts = torch.zeros(target.size, dtype=torch.long)
        self.add_state("counts", counts, dist_reduce_fx="sum")
        for name in ("sums", "squares", "errors"):
            state = torch.zeros(target.size, dtype=torch.float64)
            self.add_state(name, state, dist_reduce_fx="sum")

    def update(self, outcome: Outcome) -> None:
        """Count one batch."""
        given = outcome.gold.double().flatten(0, -2)
        known = ~given.isnan()
        gold = ((given - self.center) / self.scale).masked_fill(~known, 0.0)
        answer = (outcome.answer.double().flatten(0, -2) - self.center) / self.scale
        self.counts += known.sum(0)
        self.sums += gold.sum(0)
        self.squares += gold.square().sum(0)
        self.errors += (gold - answer).masked_fill(~known, 0.0).square().sum(0)

    def compute(self) -> Tensor:
        """One number over all updates."""
        spread = self.squares - self.sums.square() / self.counts.clamp(min=1)
        varies = spread > 1e-12 * self.squares
        if not bool(varies.any()):
            return self.sums.new_tensor(float("nan"))
        return (1 - self.errors[varies] / spread[varies]).mean()
