"""Metrics of forecasts: errors beside those of a naive forecast, and of quantiles."""

from __future__ import annotations

import torch
from torch import Tensor

from seqlab.errors import DataError
from seqlab.heads.metrics.base import Outcome, TaskMetric
from seqlab.heads.metrics.numbers import NUMBERS
from seqlab.heads.regression_losses import pinball
from seqlab.schema import Count, checked
from seqlab.types import TargetInfo


class _MeanMetric(TaskMetric):
    """The mean of something over all numbers that are known."""

    full_state_update = False
    count: Tensor
    total: Tensor

    def __init__(self, target: TargetInfo) -> None:
        super().__init__(target)
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def add(self, values: Tensor, known: Tensor) -> None:
        """Count some numbers."""
        self.count += known.sum()
        self.total += values.double().masked_fill(~known, 0.0).sum()

    def compute(self) -> Tensor:
        """The mean; NaN before the first number."""
        return self.total / self.count


class MASE(_MeanMetric):
    """The mean absolute scaled error (Hyndman and Koehler 2006): 1 is a naive forecast's.

        mean of |y - answer| / mean over the context of |x_t - x_{t - season}|

    The naive errors are those of each row's own context, so that rows of any unit count alike.

    Args:
        target: of kind ``horizon``, which goes on with a feature.
        season: how many steps back the naive forecast looks; 1: the last value.

    Raises:
        OptionError: the target goes on with no feature.
        DataError: a context is not longer than a season, or all its naive errors are 0.
    """

    needs = ("horizon",)
    higher_is_better = False

    @checked
    def __init__(self, target: TargetInfo, *, season: Count = 1) -> None:
        super().__init__(target)
        self.season = season

    def refusal(self, context: Tensor | None) -> tuple[int, str] | None:
        """A row whose naive forecast makes no errors."""
        if context is None:
            return 0, "mase needs the steps before; say by data.target.feature which these are"
        lengths = (~context.isnan()).any(-1).sum(1)
        scale = self._scale(context)
        for row in ((scale == 0) | scale.isnan()).any(-1).nonzero().flatten().tolist():
            if lengths[row] <= self.season:
                found = f"{lengths[row]} steps are not more than a season of {self.season}"
            else:
                found = f"its context is constant from each step to the {self.season} after it"
            return row, (
                f"mase has no scale: {found}; give another metrics.mase.season, or leave the row "
                "or the metric out"
            )
        return None

    def update(self, outcome: Outcome) -> None:
        """Count one batch."""
        if (found := self.refusal(outcome.context)) is not None or outcome.context is None:
            row, problem = found or (0, "")
            raise DataError(f"row {row + 1} of the batch: {problem}")
        error = (outcome.answer.double() - outcome.gold.double()).abs()
        scaled = error / self._scale(outcome.context).unsqueeze(1)
        self.add(scaled, ~outcome.gold.isnan())

    def _scale(self, context_BTC: Tensor) -> Tensor:
        """``[B, C]``: the mean naive error; NaN where there is none."""
        steps = context_BTC.double()
        return (steps[:, self.season :] - steps[:, : -self.season]).abs().nanmean(1)


class Pinball(_MeanMetric):
    """The pinball loss of an answer's quantiles, their mean, in the target's own units.

        max(q * (y - y_q), (q - 1) * (y - y_q))        (Koenker and Bassett 1978)

    With many quantiles it is half the continuous ranked probability score. An answer without
    quantiles is taken as its own median: half the absolute error.

    Args:
        target: of kind ``values``, ``step_values`` or ``horizon``.
    """

    needs = NUMBERS
    higher_is_better = False

    def update(self, outcome: Outcome) -> None:
        """Count one batch."""
        answer, levels = outcome.quantiles, outcome.levels
        if answer is None:
            answer, levels = outcome.answer.unsqueeze(-1), (0.5,)
        costs = pinball(answer.double(), outcome.gold.double().unsqueeze(-1), levels)
        self.add(costs.mean(-1), ~outcome.gold.isnan())


class Coverage(_MeanMetric):
    """The share of numbers between an answer's lowest and highest quantile.

    With the quantiles 0.1 and 0.9 a well calibrated model has 0.8. An answer without quantiles
    covers itself alone.

    Args:
        target: of kind ``values``, ``step_values`` or ``horizon``.
    """

    needs = NUMBERS
    higher_is_better = True

    def update(self, outcome: Outcome) -> None:
        """Count one batch."""
        answer = outcome.quantiles
        if answer is None:
            answer = outcome.answer.unsqueeze(-1)
        gold = outcome.gold.to(answer.dtype)
        inside = (answer[..., 0] <= gold) & (gold <= answer[..., -1])
        self.add(inside, ~outcome.gold.isnan())
