"""Precision, recall and F1 of labelled spans."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from seqlab.errors import OptionError
from seqlab.heads.metrics.base import Outcome, TaskMetric
from seqlab.heads.schemes import SpanTable, chunk_labels
from seqlab.schema import checked
from seqlab.types import TargetInfo


class SpanF1(TaskMetric):
    """Precision, recall or F1 of labelled spans (entities), as the CoNLL script counts them.

    A predicted span is right if a gold span has the same first and last step and type.

    Args:
        target: of kind ``tags``; its names are ``O`` or a prefix B I E S (or L U) and a type.
        score: ``f1``, ``precision`` or ``recall``.

    Raises:
        OptionError: the labels are not chunk labels, or the score is unknown.

    >>> metric = SpanF1(TargetInfo("tags", 3, ("O", "B-X", "I-X")))
    >>> answer, gold = torch.tensor([[1, 2, 0]]), torch.tensor([[1, 2, 1]])
    >>> metric.update(Outcome(answer, gold, lengths=torch.tensor([3])))
    >>> round(float(metric.compute()), 4)
    0.6667
    """

    needs = ("tags",)
    higher_is_better = True
    right: Tensor
    predicted: Tensor
    gold: Tensor

    @checked
    def __init__(
        self, target: TargetInfo, *, score: Literal["f1", "precision", "recall"] = "f1"
    ) -> None:
        super().__init__(target)
        labels = chunk_labels(target.names)
        if labels is None:
            raise OptionError(
                f"span_f1 needs labels such as O, B-TYPE, I-TYPE, got "
                f"{', '.join(target.names) or 'labels without names'}"
            )
        self.score = score
        self._table = SpanTable(labels)
        for name in ("right", "predicted", "gold"):
            self.add_state(name, torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, outcome: Outcome) -> None:
        """Count one batch of label ids; ``lengths`` says how many of each row are real."""
        lengths = outcome.lengths
        if lengths is None:
            lengths = torch.full((len(outcome.gold),), outcome.gold.shape[1])
        starts, ends, kinds = self._table.spans(outcome.answer, lengths)
        gold_starts, gold_ends, gold_kinds = self._table.spans(outcome.gold, lengths)
        same = starts & gold_starts & (ends == gold_ends) & (kinds == gold_kinds)
        self.right += same.sum()
        self.predicted += starts.sum()
        self.gold += gold_starts.sum()

    def compute(self) -> Tensor:
        """The score over all updates; 0 where it would divide by nothing."""
        if self.score == "precision":
            return self.right / self.predicted.clamp(min=1)
        if self.score == "recall":
            return self.right / self.gold.clamp(min=1)
        return 2 * self.right / (self.predicted + self.gold).clamp(min=1)
