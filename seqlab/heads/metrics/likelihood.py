"""How probable a language model finds what is there."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from seqlab.heads.metrics.base import Outcome, TaskMetric
from seqlab.types import TargetInfo


class Perplexity(TaskMetric):
    """``exp(-mean log p)``, the mean taken over all tokens of all rows: 1 is certainty.

    Args:
        target: of kind ``inputs``.

    >>> metric = Perplexity(TargetInfo("inputs", 9))
    >>> ids = torch.tensor([4, 5])
    >>> metric.update(Outcome(ids, ids, torch.tensor([0.5, 0.125]).log()))
    >>> round(float(metric.compute()), 4)
    4.0
    """

    needs = ("inputs",)
    higher_is_better: bool | None = False
    total: Tensor
    count: Tensor

    def __init__(self, target: TargetInfo) -> None:
        super().__init__(target)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, outcome: Outcome) -> None:
        """Count one batch."""
        if outcome.scores is not None:
            self.total -= outcome.scores.double().sum()
            self.count += outcome.scores.numel()

    @property
    def mean(self) -> Tensor:
        """The mean of ``-log p``; 0 before the first token."""
        return self.total / self.count.clamp(min=1)

    def compute(self) -> Tensor:
        """The value over all updates."""
        return self.mean.exp()


class BitsPerToken(Perplexity):
    """``-mean log2 p`` over all tokens of all rows; of characters, bits per character.

    Args:
        target: of kind ``inputs``.
    """

    higher_is_better = False

    def compute(self) -> Tensor:
        """The value over all updates."""
        return self.mean / math.log(2)
