"""The contract of a metric: what it is told of a batch, and how it is built."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from seqlab.errors import OptionError
from seqlab.registry import spoken
from seqlab.types import TargetInfo, lengths_to_mask


class Outcome(NamedTuple):
    """One batch as a head answered it, in the form of its kind of target.

    ========  ==============================  ======================================
    target    ``answer`` and ``gold``         ``scores``
    ========  ==============================  ======================================
    label     ``[B]`` ids                     ``[B, C]`` probabilities
    labels    ``[B, C]`` 0 or 1               ``[B, C]`` probabilities
    tags      ``[B, T]`` ids                  ``[B, T, C]`` before the softmax or CRF
    tokens    lists of ids; ``gold`` has      None
              all accepted lists of a row
    values    ``[B, C]`` numbers              None
    step_     ``[B, T, C]`` numbers           None
    values
    horizon   ``[B, H, C]`` numbers           None
    inputs    ``[N]`` ids, N real tokens      ``[N]`` log p of the right ones
    ========  ==============================  ======================================

    An id of tokens beyond the vocabulary is a word that it has not. V, in ``gold`` alone, equals
    nothing; V + 1 + t is the word at step t of the row's source, ``tokens[row][t]``, copied.
    ``lengths [B]`` says how many steps of a row of tags are real, from the left; None elsewhere.
    ``cut [B]`` is True where an answer of tokens reached the largest length allowed.

    Gold numbers that are NaN are not known. ``quantiles [..., C, Q]`` are an answer's at
    ``levels``; ``context [B, T, C]`` are the numbers before a horizon, NaN where there are none.
    All numbers are in the target's own units.
    """

    answer: Any
    gold: Any
    scores: Tensor | None = None
    lengths: Tensor | None = None
    cut: Tensor | None = None
    quantiles: Tensor | None = None
    levels: tuple[float, ...] = ()
    context: Tensor | None = None
    tokens: list[list[str]] | None = None


class TaskMetric(Metric):
    """A metric that any head with a fitting target can measure: ``head.metrics=[NAME]``.

    A subclass says in ``needs`` which kinds of target it can be asked of and in
    ``higher_is_better`` what is good, keeps its sums in states (``add_state``), and writes
    ``update`` and ``compute``, which gives one number. Its options are keyword-only.

    Args:
        target: what the head predicts.

    Raises:
        OptionError: the metric is not one of this kind of target.

    Example:
        >>> import torch
        >>> from seqlab.heads.metrics import Outcome, TaskMetric
        >>> class Hits(TaskMetric):
        ...     needs = ("label",)
        ...     higher_is_better = True
        ...     def __init__(self, target):
        ...         super().__init__(target)
        ...         self.add_state("hits", torch.zeros(()), dist_reduce_fx="sum")
        ...     def update(self, outcome):
        ...         self.hits += (outcome.answer == outcome.gold).sum()
        ...     def compute(self):
        ...         return self.hits
        >>> hits = Hits(TargetInfo("label", 3))
        >>> hits.update(Outcome(torch.tensor([1, 2]), torch.tensor([1, 0])))
        >>> float(hits.compute())
        1.0
    """

    needs: ClassVar[tuple[str, ...]]
    is_differentiable = False
    higher_is_better: bool | None = None
    full_state_update = False

    def __init__(self, target: TargetInfo) -> None:
        super().__init__()
        if target.kind not in self.needs:
            wanted = " or ".join(f"'{kind}'" for kind in self.needs)
            raise OptionError(
                f"{spoken('metric', self)} measures targets of kind {wanted}, not '{target.kind}'"
            )

    def refusal(self, context: Tensor | None) -> tuple[int, str] | None:
        """The first row of a batch that cannot be measured, and why; see ``Head.refusal``."""
        del context
        return None

    @abstractmethod
    def update(self, outcome: Outcome) -> None:
        """Count one batch."""

    @abstractmethod
    def compute(self) -> Tensor:
        """The value over all batches, a scalar."""


class TorchMetric(TaskMetric):
    """A metric of torchmetrics that compares answers, or scores, with the right ones.

    Args:
        target: what the head predicts.
        metric: of torchmetrics.
        by_scores: give it the scores instead of the answers.
    """

    def __init__(self, target: TargetInfo, metric: Metric, *, by_scores: bool = False) -> None:
        super().__init__(target)
        self.metric, self.by_scores = metric, by_scores

    def update(self, outcome: Outcome) -> None:
        """Count one batch; padding of tags is left out."""
        found: Any = outcome.scores if self.by_scores else outcome.answer
        gold = outcome.gold
        if outcome.lengths is not None:
            steps = gold.shape[1]
            real = lengths_to_mask(outcome.lengths, steps)
            found, gold = found[real], gold[real]
        if len(gold):
            self.metric.update(found, gold)

    def compute(self) -> Tensor:
        """The inner metric's value; NaN before the first row."""
        if not self.metric.update_called:
            return torch.tensor(float("nan"))
        value: Tensor = self.metric.compute()
        return value

    def reset(self) -> None:
        """Start anew."""
        super().reset()
        self.metric.reset()
