"""How long an answer may get, so that no search runs on for ever."""

from __future__ import annotations

import torch
from torch import Tensor

from seqlab.schema import Count, Positive, checked
from seqlab.types import TargetInfo

#: How far beyond the line above all training rows an answer may go.
MARGIN = 1.5
#: The most tokens where nothing else says how many.
FALLBACK = 100


class AnswerLimit:
    """The most tokens of each row's answer.

    Given ``max_length`` or ``max_ratio``, they alone decide. Else the limit is learnt: one and a
    half times the lowest straight line, over the number of input steps, that no training row lies
    above (``TargetStatistics.length``); 100 tokens where no rows were seen.

    Args:
        target: of kind ``tokens``.
        max_length: the most tokens of any answer.
        max_ratio: the most tokens for each step of the input.

    Raises:
        OptionError: a number is not above 0.

    >>> from seqlab.types import TargetStatistics
    >>> seen = TargetStatistics(length=(1.0, 2.0))
    >>> limit = AnswerLimit(TargetInfo("tokens", 9, bos=1, eos=2, statistics=seen), None, None)
    >>> limit.of(torch.tensor([4, 10])).tolist()
    [9, 18]
    """

    @checked
    def __init__(
        self, target: TargetInfo, max_length: Count | None, max_ratio: Positive | None
    ) -> None:
        self.target, self.most, self.ratio = target, max_length, max_ratio

    def changed(self, max_length: int | None = None, max_ratio: float | None = None) -> AnswerLimit:
        """The limit with some of its numbers replaced, for one call."""
        if max_length is None and max_ratio is None:
            return self
        most = self.most if max_length is None else max_length
        return AnswerLimit(self.target, most, self.ratio if max_ratio is None else max_ratio)

    def of(self, steps_B: Tensor) -> Tensor:
        """``[B]`` int64, for inputs of so many steps."""
        if self.ratio is not None:
            limit = torch.ceil(steps_B * self.ratio).long()
            return limit if self.most is None else limit.clamp(max=self.most)
        line = self.target.statistics.length
        if self.most is not None or not line:
            return torch.full_like(steps_B, FALLBACK if self.most is None else self.most)
        slope, extra = line
        learnt = MARGIN * (slope * steps_B.double() + extra)
        # a float's last digit must not grant one token more
        return torch.ceil(learnt - 1e-9).long().clamp(min=1)
