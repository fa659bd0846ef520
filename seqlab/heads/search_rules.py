"""What may stand in an answer that is searched for.

At each step the log probabilities of the tokens that may not come next are -inf:

- ``bos``, always;
- all but ``eos``, where the answer has reached its row's limit;
- ``eos``, while the answer has fewer than ``min_length`` tokens;
- with ``no_repeat_ngram = n``, a token that would end n tokens which the answer has in a row
  already (Paulus, Xiong and Socher 2018).

The limit comes before the others, and an answer that nothing may extend is closed. What is left is
not made to sum to one again: the score of an answer stays its log probability.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

NEVER = float("-inf")


class Rules(NamedTuple):
    """The rules for the rows of a batch, ``limit [B]`` the most tokens of each.

    >>> rules = Rules(torch.tensor([9]), bos=0, eos=1, min_length=0, no_repeat_ngram=2)
    >>> log_p, tokens = torch.zeros(1, 1, 5), torch.tensor([[[2, 3, 4, 2]]])
    >>> rules(log_p, tokens).tolist()
    [[[-inf, 0.0, 0.0, -inf, 0.0]]]
    """

    limit: Tensor
    bos: int
    eos: int
    min_length: int = 0
    no_repeat_ngram: int = 0

    def __call__(self, log_p_BKV: Tensor, tokens_BKL: Tensor) -> Tensor:
        """Log probabilities ``[B, K, V]`` after L tokens of each of K hypotheses a row."""
        length, size = tokens_BKL.shape[2], log_p_BKV.shape[2]
        ids = torch.arange(size, device=log_p_BKV.device)
        others = ids != self.eos
        closing = (self.limit <= length).view(-1, 1, 1)
        ruled_out = (ids == self.bos).expand_as(log_p_BKV)
        if length < self.min_length:
            ruled_out = ruled_out | ~others
        if 0 < self.no_repeat_ngram <= length:
            ruled_out = ruled_out | self._repeats(tokens_BKL, size)
        if self.min_length or self.no_repeat_ngram:
            stuck = ruled_out.all(2, keepdim=True)
            ruled_out = ruled_out & ~(stuck & ~others)
        return log_p_BKV.masked_fill(torch.where(closing, others, ruled_out), NEVER)

    def _repeats(self, tokens_BKL: Tensor, size: int) -> Tensor:
        """``[B, K, V]``: which tokens would end n tokens that are there already."""
        n, length = self.no_repeat_ngram, tokens_BKL.shape[2]
        there = tokens_BKL.unfold(2, n, 1)
        last = tokens_BKL[:, :, length - n + 1 :].unsqueeze(2)
        again = (there[..., :-1] == last).all(3)
        # one column more, for those that do not come again
        ended = there[..., -1].masked_fill(~again, size)
        found = torch.zeros(*ended.shape[:2], size + 1, dtype=torch.bool, device=ended.device)
        return found.scatter(2, ended, value=True)[..., :size]


class Wanted(NamedTuple):
    """The rules that are options of a search."""

    min_length: int = 0
    no_repeat_ngram: int = 0

    def of(self, limit_B: Tensor, bos: int, eos: int) -> Rules:
        """The rules for a batch."""
        return Rules(limit_B, bos, eos, *self)
