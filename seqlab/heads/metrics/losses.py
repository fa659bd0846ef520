"""The loss of all rows, from the losses of batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from seqlab.heads.losses import LossTerm


class LossMean(Metric):
    """``sum_k f_k (sum_b n_kb L_kb) / (sum_b n_kb)``, whatever the batches are.

    L is the k-th term of a loss in batch b and n what it is a mean over there.

    Args:
        factors: f, of each term.

    >>> mean = LossMean()
    >>> mean.update([LossTerm(torch.tensor(3.0), 1)])
    >>> mean.update([LossTerm(torch.tensor(1.0), 3)])
    >>> float(mean.compute())
    1.5
    """

    higher_is_better: bool | None = False
    is_differentiable: bool | None = False
    full_state_update: bool | None = False
    totals: Tensor
    weights: Tensor

    def __init__(self, factors: Sequence[float] = (1.0,)) -> None:
        super().__init__()
        self.factors = tuple(factors)
        zeros = torch.zeros(len(self.factors), dtype=torch.float64)
        self.add_state("totals", zeros, dist_reduce_fx="sum")
        self.add_state("weights", zeros.clone(), dist_reduce_fx="sum")

    def update(self, terms: Sequence[LossTerm]) -> None:
        """Count the terms of one batch."""
        for place, (loss, weight) in enumerate(terms):
            self.weights[place] += weight
            # a term of nothing is no number, and counts for nothing
            counted = torch.as_tensor(weight, device=loss.device) > 0
            self.totals[place] += torch.where(counted, loss.detach().double() * weight, 0.0)

    def compute(self) -> Tensor:
        """See the class; a term of nothing at all is 0."""
        means = self.totals / self.weights.clamp(min=torch.finfo(torch.float64).tiny)
        return (means * means.new_tensor(self.factors)).sum()
