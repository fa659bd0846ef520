"""Error rates of answers that are sequences, each row with several accepted answers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

import torch
from torch import Tensor

from seqlab.heads.metrics.base import Outcome, TaskMetric
from seqlab.schema import checked
from seqlab.types import TargetInfo


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


class ErrorRate(TaskMetric):
    """How wrong decoded sequences are, where each row may have several accepted answers.

    Level ``token``: the sum of the edit distances to the nearest reference, divided by the sum
    of those references' lengths (the first of equally near ones counts). Level ``sequence``: the
    share of rows that equal none of their references. Both are fractions: 0.15 is 15 %.

    Args:
        target: of kind ``tokens``.
        level: ``token`` or ``sequence``.
        capped: no row counts more errors than its reference has tokens (at least one), so that
            one answer that runs on and on cannot move the rate by more than its share.

    Raises:
        OptionError: the level is neither.

    >>> rate = ErrorRate(TargetInfo("tokens", 9))
    >>> rate.update(Outcome([[1, 2]], [[[1, 3, 3, 3], [1, 2, 4]]]))
    >>> round(float(rate.compute()), 4)
    0.3333
    """

    needs = ("tokens",)
    higher_is_better: bool | None = False
    errors: Tensor
    total: Tensor

    @checked
    def __init__(
        self,
        target: TargetInfo,
        *,
        level: Literal["token", "sequence"] = "token",
        capped: bool = False,
    ) -> None:
        super().__init__(target)
        self.level, self.capped = level, capped
        self.add_state("errors", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, outcome: Outcome) -> None:
        """Count one batch: an answer a row, and all accepted answers of each row."""
        errors = total = 0
        for answer, accepted in zip(outcome.answer, outcome.gold, strict=True):
            if self.level == "sequence":
                errors += all(list(answer) != list(one) for one in accepted)
                total += 1
            else:
                distances = [edit_distance(answer, one) for one in accepted]
                nearest = distances.index(min(distances))
                length = len(accepted[nearest])
                most = max(length, 1) if self.capped else distances[nearest]
                errors += min(distances[nearest], most)
                total += length
        self.errors += errors
        self.total += total

    def compute(self) -> Tensor:
        """The rate over all updates."""
        return self.errors / self.total.clamp(min=1)


class SequenceAccuracy(ErrorRate):
    """The share of rows that equal one of their references: 1 minus the sequence error rate.

    Args:
        target: of kind ``tokens``.
    """

    higher_is_better = True

    def __init__(self, target: TargetInfo) -> None:
        super().__init__(target, level="sequence")

    def compute(self) -> Tensor:
        """The share over all updates; 0 before the first."""
        return (self.total - self.errors) / self.total.clamp(min=1)


class AnswersCut(TaskMetric):
    """How many answers reached the largest length allowed, and were closed there.

    Args:
        target: of kind ``tokens``.
    """

    needs = ("tokens",)
    higher_is_better = False
    count: Tensor

    def __init__(self, target: TargetInfo) -> None:
        super().__init__(target)
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, outcome: Outcome) -> None:
        """Count one batch."""
        if outcome.cut is not None:
            self.count += outcome.cut.sum()

    def compute(self) -> Tensor:
        """The number of rows."""
        return self.count
