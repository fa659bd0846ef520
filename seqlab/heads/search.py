"""Searches for the best answer of a decoder: what a search is, greedy search, sampling.

An answer is a sequence of tokens closed by ``eos``; its score is the log probability of all its
tokens and of the ``eos``. What may stand in it is said in ``seqlab.heads.search_rules``. All rows
and all hypotheses of a row advance together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.errors import OptionError
from seqlab.heads.sampling import draw
from seqlab.heads.search_rules import Rules, Wanted
from seqlab.heads.states import repeat_rows
from seqlab.registry import spoken
from seqlab.schema import Count, Positive, Share, Whole, checked
from seqlab.types import State

#: One step: last tokens ``[B, K]`` and the state of ``B * K`` rows, to the log probabilities
#: ``[B, K, V]`` of the next token and the state after it.
StepFunction = Callable[[Tensor, State], tuple[Tensor, State]]


class Answers(NamedTuple):
    """Found answers: ``tokens [B, U]`` without marks, ``lengths [B]``, ``score [B]``."""

    tokens: Tensor
    lengths: Tensor
    score: Tensor

    def to_lists(self) -> list[list[int]]:
        """The tokens of each row, padding cut off."""
        lengths = self.lengths.tolist()
        return [row[:n] for row, n in zip(self.tokens.tolist(), lengths, strict=True)]


class Search(ABC):
    """A way to choose tokens; options are given to the constructor.

    A subclass writes ``find``, and ``find_several`` where it can name more than one answer.
    """

    @abstractmethod
    def find(
        self, step: StepFunction, state: State, limit_B: Tensor, *, bos: int, eos: int
    ) -> Answers:
        """One answer for each row.

        Args:
            step: gives the next log probabilities.
            state: the state before the first step, of B rows.
            limit_B: the largest number of tokens of each row, int64, at least 0.
            bos: the token before the first.
            eos: the token that closes an answer.
        """

    def find_several(
        self, step: StepFunction, state: State, limit_B: Tensor, *, bos: int, eos: int, n: int
    ) -> list[Answers]:
        """The n answers of each row, best first; a score of -inf where there are no more.

        Args:
            step: as for ``find``.
            state: as for ``find``.
            limit_B: as for ``find``.
            bos: as for ``find``.
            eos: as for ``find``.
            n: how many.

        Raises:
            OptionError: this search finds one answer a row, or fewer than n.
        """
        if n > 1:
            raise OptionError(
                f"n_best: {spoken('search', self)} finds one answer a row, not {n}; give "
                "search={name: beam, width: N} or {name: sample}"
            )
        return [self.find(step, state, limit_B, bos=bos, eos=eos)]


def _walk(
    choose: Callable[[Tensor], Tensor],
    step: StepFunction,
    state: State,
    rules: Rules,
    count: int = 1,
) -> list[Answers]:
    """``count`` answers a row, each extended by ``choose([B, V]) -> [B]`` until all are closed."""
    limit = rules.limit.unsqueeze(1).expand(-1, count)
    state = repeat_rows(state, count) if count > 1 else state
    tokens = torch.empty(*limit.shape, 0, dtype=torch.long, device=limit.device)
    last, lengths = torch.full_like(limit, rules.bos), torch.zeros_like(limit)
    done = torch.zeros_like(limit, dtype=torch.bool)
    score: Tensor | None = None
    for _ in range(int(limit.max()) + 1):
        log_p, state = step(last, state)
        allowed = rules(log_p, tokens)
        last = choose(allowed.flatten(0, 1)).view_as(limit).masked_fill(done, rules.eos)
        gain = allowed.gather(2, last.unsqueeze(2)).squeeze(2).masked_fill(done, 0.0)
        score = gain if score is None else score + gain
        done = done | (last == rules.eos)
        lengths = lengths + (~done).long()
        tokens = torch.cat([tokens, last.unsqueeze(2)], 2)
        if bool(done.all()):
            break
    tokens = tokens[:, :, :-1]
    score = torch.zeros_like(lengths) if score is None else score
    return [Answers(tokens[:, k], lengths[:, k], score[:, k]) for k in range(count)]


class GreedySearch(Search):
    """Always the most probable next token.

    Args:
        min_length: the fewest tokens of an answer, see ``seqlab.heads.search_rules``.
        no_repeat_ngram: no n tokens in a row twice, for this n; 0 for no such rule.
    """

    @checked
    def __init__(self, *, min_length: Whole = 0, no_repeat_ngram: Whole = 0) -> None:
        self.rules = Wanted(min_length, no_repeat_ngram)

    def find(
        self, step: StepFunction, state: State, limit_B: Tensor, *, bos: int, eos: int
    ) -> Answers:
        """See ``Search.find``."""
        rules = self.rules.of(limit_B, bos, eos)
        return _walk(lambda log_p: log_p.argmax(1), step, state, rules)[0]


class SampleSearch(Search):
    """A random token each time, from ``softmax(log p / temperature)`` (torch's random state).

    Args:
        temperature: above 0; below 1 makes the probable more probable.
        top_k: only among the k most probable tokens; None for all.
        top_p: only among the fewest tokens that have this probability together; None for all.
        min_length: the fewest tokens of an answer, see ``seqlab.heads.search_rules``.
        no_repeat_ngram: no n tokens in a row twice, for this n; 0 for no such rule.
    """

    @checked
    def __init__(
        self,
        *,
        temperature: Positive = 1.0,
        top_k: Count | None = None,
        top_p: Share | None = None,
        min_length: Whole = 0,
        no_repeat_ngram: Whole = 0,
    ) -> None:
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        self.rules = Wanted(min_length, no_repeat_ngram)

    def find(
        self, step: StepFunction, state: State, limit_B: Tensor, *, bos: int, eos: int
    ) -> Answers:
        """See ``Search.find``."""
        return _walk(self._choose, step, state, self.rules.of(limit_B, bos, eos))[0]

    def find_several(
        self, step: StepFunction, state: State, limit_B: Tensor, *, bos: int, eos: int, n: int
    ) -> list[Answers]:
        """See ``Search.find_several``: n draws, which may be alike, in order of score."""
        found = _walk(self._choose, step, state, self.rules.of(limit_B, bos, eos), n)
        order = torch.stack([one.score for one in found]).argsort(
            dim=0, descending=True, stable=True
        )
        return [take(found, place) for place in order]

    def _choose(self, log_p_BV: Tensor) -> Tensor:
        return draw(log_p_BV, self.temperature, self.top_k, self.top_p)


def take(found: Sequence[Answers], place_B: Tensor) -> Answers:
    """For each row the answer at its own place of several."""
    rows = torch.arange(place_B.shape[0], device=place_B.device)
    return Answers(*(torch.stack(field)[place_B, rows] for field in zip(*found, strict=True)))
