"""Metrics that torchmetrics does not have in this form: error rates and span F1."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from seqlab.errors import OptionError
from seqlab.heads.schemes import SpanTable, chunk_labels


def edit_distance(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """The least number of insertions, deletions and substitutions that turn ``a`` into ``b``.

    One column of the Levenshtein table is held in the bits of two integers (Myers 1999;
    Hyyro 2003), so the cost is about ``len(b)`` integer operations for short ``a``.

    >>> edit_distance("kitten", "sitting")
    3
    """
    if not a:
        return len(b)
    where: dict[Hashable, int] = {}
    for i, symbol in enumerate(a):
        where[symbol] = where.get(symbol, 0) | (1 << i)
    full = (1 << len(a)) - 1
    top = 1 << (len(a) - 1)
    up, down, distance = full, 0, len(a)
    for symbol in b:
        match = where.get(symbol, 0)
        same = (((match & up) + up) ^ up) | match | down
        right_up = down | ~(same | up) & full
        right_down = same & up
        distance += bool(right_up & top) - bool(right_down & top)
        right_up = (right_up << 1) | 1
        right_down = right_down << 1
        up = (right_down | ~(same | right_up)) & full
        down = right_up & same & full
    return distance


class ErrorRate(Metric):
    """How wrong decoded sequences are, where each row may have several accepted answers.

    Level ``token``: the sum of the edit distances to the nearest reference, divided by the sum
    of those references' lengths (the first of equally near ones counts). Level ``sequence``: the
    share of rows that equal none of their references. Both are fractions: 0.15 is 15 %.

    Raises:
        OptionError: the level is neither.

    >>> rate = ErrorRate("token")
    >>> rate.update([[1, 2]], [[[1, 3, 3, 3], [1, 2, 4]]])
    >>> round(float(rate.compute()), 4)
    0.3333
    """

    is_differentiable = False
    higher_is_better: bool | None = False
    full_state_update = False
    errors: Tensor
    total: Tensor

    def __init__(self, level: str = "token") -> None:
        super().__init__()
        if level not in ("token", "sequence"):
            raise OptionError(f"level: expected 'token' or 'sequence', got {level!r}")
        self.level = level
        self.add_state("errors", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(
        self,
        predictions: Sequence[Sequence[Hashable]],
        references: Sequence[Sequence[Sequence[Hashable]]],
    ) -> None:
        """Count one batch: an answer a row, and all accepted answers of each row."""
        errors = total = 0
        for answer, accepted in zip(predictions, references, strict=True):
            if self.level == "sequence":
                errors += all(list(answer) != list(one) for one in accepted)
                total += 1
            else:
                distances = [edit_distance(answer, one) for one in accepted]
                nearest = distances.index(min(distances))
                errors += distances[nearest]
                total += len(accepted[nearest])
        self.errors += errors
        self.total += total

    def compute(self) -> Tensor:
        """The rate over all updates."""
        return self.errors / self.total.clamp(min=1)


class SequenceAccuracy(ErrorRate):
    """The share of rows that equal one of their references: 1 minus the sequence error rate."""

    higher_is_better = True

    def __init__(self) -> None:
        super().__init__("sequence")

    def compute(self) -> Tensor:
        """The share over all updates; 0 before the first."""
        return (self.total - self.errors) / self.total.clamp(min=1)


class SpanF1(Metric):
    """Precision, recall or F1 of labelled spans (entities), as the CoNLL script counts them.

    A predicted span is right if a gold span has the same first and last step and type.

    Args:
        names: the labels by id: ``O`` or a prefix B I E S (or L U) and a type.
        score: ``f1``, ``precision`` or ``recall``.

    Raises:
        OptionError: the labels are not chunk labels, or the score is unknown.

    >>> metric = SpanF1(["O", "B-X", "I-X"])
    >>> metric.update(torch.tensor([[1, 2, 0]]), torch.tensor([[1, 2, 1]]), torch.tensor([3]))
    >>> round(float(metric.compute()), 4)
    0.6667
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    right: Tensor
    predicted: Tensor
    gold: Tensor

    def __init__(self, names: Sequence[str], score: str = "f1") -> None:
        super().__init__()
        labels = chunk_labels(names)
        if labels is None:
            raise OptionError(
                f"span_f1 needs labels such as O, B-TYPE, I-TYPE, got {', '.join(names)}"
            )
        if score not in ("f1", "precision", "recall"):
            raise OptionError(f"score: expected 'f1', 'precision' or 'recall', got {score!r}")
        self.score = score
        self._table = SpanTable(labels)
        for name in ("right", "predicted", "gold"):
            self.add_state(name, torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions_BT: Tensor, target_BT: Tensor, lengths_B: Tensor) -> None:
        """Count one batch of label ids; ``lengths`` says how many of each row are real."""
        starts, ends, kinds = self._table.spans(predictions_BT, lengths_B)
        gold_starts, gold_ends, gold_kinds = self._table.spans(target_BT, lengths_B)
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
