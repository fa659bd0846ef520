"""Metrics of chosen classes, one a row, several a row, or one a step."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassCalibrationError,
    MulticlassF1Score,
    MulticlassMatthewsCorrCoef,
    MultilabelAccuracy,
    MultilabelF1Score,
)

from seqlab.heads.metrics.base import Outcome, TaskMetric, TorchMetric
from seqlab.schema import Count, Range, check_value
from seqlab.types import TargetInfo, lengths_to_mask


class Accuracy(TorchMetric):
    """The share of rows (tags, inputs: steps) that are right; of several labels, of each yes or no.

    Args:
        target: of kind ``label``, ``labels``, ``tags`` or ``inputs``.
    """

    needs = ("label", "labels", "tags", "inputs")
    higher_is_better = True

    def __init__(self, target: TargetInfo) -> None:
        kind = MultilabelAccuracy if target.kind == "labels" else MulticlassAccuracy
        super().__init__(target, _averaged(kind, target, "micro"))


class MacroF1(TorchMetric):
    """The mean over classes of the F1 score, so that rare classes count as much as others.

    Args:
        target: of kind ``label``, ``labels`` or ``tags``.
    """

    needs = ("label", "labels", "tags")
    higher_is_better = True

    def __init__(self, target: TargetInfo) -> None:
        kind = MultilabelF1Score if target.kind == "labels" else MulticlassF1Score
        super().__init__(target, _averaged(kind, target, "macro"))


def _averaged(kind: Any, target: TargetInfo, average: str) -> Metric:
    size = target.size if target.kind == "labels" else max(target.size, 2)
    metric: Metric = kind(size, average=average, validate_args=False)
    return metric


class ExactMatch(TaskMetric):
    """The share of rows where everything is right: all labels, or the tags of all steps.

    Args:
        target: of kind ``labels`` or ``tags``.
    """

    needs = ("labels", "tags")
    higher_is_better = True
    right: Tensor
    total: Tensor

    def __init__(self, target: TargetInfo) -> None:
        super().__init__(target)
        self.add_state("right", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, outcome: Outcome) -> None:
        """Count one batch."""
        same = outcome.answer == outcome.gold
        if outcome.lengths is not None:
            same = same | ~lengths_to_mask(outcome.lengths, same.shape[1])
        self.right += same.all(1).sum()
        self.total += len(same)

    def compute(self) -> Tensor:
        """The share over all updates; 0 before the first."""
        return self.right / self.total.clamp(min=1)


class MatthewsCorrelation(TorchMetric):
    """The correlation of given and right classes (Matthews 1975; Gorodkin 2004): 0 is guessing.

    Where all answers or all right classes are one class there is no correlation, and it is 0, as
    scikit-learn has it.

    Args:
        target: of kind ``label`` or ``tags``.
    """

    needs = ("label", "tags")
    higher_is_better = True

    def __init__(self, target: TargetInfo) -> None:
        size = max(target.size, 2)
        super().__init__(target, MulticlassMatthewsCorrCoef(size, validate_args=False))

    def compute(self) -> Tensor:
        """The correlation over all updates; NaN before the first row."""
        value, counts = super().compute(), torch.as_tensor(self.metric.metric_state["confmat"])
        vary = all(bool((counts.sum(side) > 0).sum() > 1) for side in (0, 1))
        return value if vary or bool(value.isnan()) else torch.zeros_like(value)


class TopKAccuracy(TorchMetric):
    """The share of rows whose class is among the k with the largest scores.

    Args:
        target: of kind ``label`` or ``tags``.
        k: how many classes count.

    Raises:
        OptionError: there are not so many classes.
    """

    needs = ("label", "tags")
    higher_is_better = True

    def __init__(self, target: TargetInfo, *, k: Count = 3) -> None:
        k = check_value(k, Annotated[int, Range(least=1, most=target.size)], "k")
        size = max(target.size, 2)
        metric = MulticlassAccuracy(size, average="micro", top_k=k, validate_args=False)
        super().__init__(target, metric, by_scores=True)


class CalibrationError(TorchMetric):
    """How far the probability of the answer is from the share that is right (Guo et al. 2017).

    Args:
        target: of kind ``label``.
    """

    needs = ("label",)
    higher_is_better = False

    def __init__(self, target: TargetInfo) -> None:
        metric = MulticlassCalibrationError(max(target.size, 2), n_bins=15, validate_args=False)
        super().__init__(target, metric, by_scores=True)
