"""Searches for the best answer of a decoder: greedy, beam, sampling.

An answer is a sequence of tokens closed by ``eos``; its score is the log probability of all its
tokens and of the ``eos``. ``bos`` is never chosen. An answer that has reached its row's limit can
only be closed. All rows and all hypotheses of a row advance together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.errors import OptionError
from seqlab.heads.sampling import draw
from seqlab.heads.states import repeat_rows, select_rows
from seqlab.schema import Count, NonNegative, Positive, Share, checked
from seqlab.types import State

#: One step: last tokens ``[B, K]`` and the state of ``B * K`` rows, to the log probabilities
#: ``[B, K, V]`` of the next token and the state after it.
StepFunction = Callable[[Tensor, State], tuple[Tensor, State]]

NEVER = float("-inf")


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
    """A way to choose tokens; options are given to the constructor."""

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


def _restrict(log_p: Tensor, closing: Tensor, bos: int, eos: int) -> Tensor:
    """Log probabilities ``[B, K, V]`` with ``bos`` ruled out, and all but ``eos`` where closing."""
    tokens = torch.arange(log_p.shape[-1], device=log_p.device)
    ruled_out = (closing.view(-1, 1, 1) & (tokens != eos)) | (tokens == bos)
    return log_p.masked_fill(ruled_out, NEVER)


def _walk(
    choose: Callable[[Tensor], Tensor],
    step: StepFunction,
    state: State,
    limit_B: Tensor,
    *,
    bos: int,
    eos: int,
) -> Answers:
    """One hypothesis a row, extended by ``choose([B, V]) -> [B]`` until all are closed."""
    token = torch.full_like(limit_B, bos)
    done = torch.zeros_like(limit_B, dtype=torch.bool)
    lengths = torch.zeros_like(limit_B)
    score: Tensor | None = None
    chosen: list[Tensor] = []
    for position in range(int(limit_B.max()) + 1):
        log_p, state = step(token.unsqueeze(1), state)
        allowed = _restrict(log_p, limit_B <= position, bos, eos).squeeze(1)
        token = choose(allowed).masked_fill(done, eos)
        gain = allowed.gather(1, token.unsqueeze(1)).squeeze(1).masked_fill(done, 0.0)
        score = gain if score is None else score + gain
        done = done | (token == eos)
        lengths = lengths + (~done).long()
        chosen.append(token)
        if bool(done.all()):
            break
    tokens = torch.stack(chosen, dim=1)[:, :-1]
    return Answers(tokens, lengths, torch.zeros_like(token) if score is None else score)


class GreedySearch(Search):
    """Always the most probable next token."""

    def find(
        self, step: StepFunction, state: State, limit_B: Tensor, *, bos: int, eos: int
    ) -> Answers:
        """See ``Search.find``."""
        return _walk(lambda log_p: log_p.argmax(1), step, state, limit_B, bos=bos, eos=eos)


class SampleSearch(Search):
    """A random token each time, from ``softmax(log p / temperature)`` (torch's random state).

    Args:
        temperature: above 0; below 1 makes the probable more probable.
        top_k: only among the k most probable tokens; None for all.
        top_p: only among the fewest tokens that have this probability together; None for all.
    """

    @checked
    def __init__(
        self,
        *,
        temperature: Positive = 1.0,
        top_k: Count | None = None,
        top_p: Share | None = None,
    ) -> None:
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p

    def find(
        self, step: StepFunction, state: State, limit_B: Tensor, *, bos: int, eos: int
    ) -> Answers:
        """See ``Search.find``."""
        return _walk(self._choose, step, state, limit_B, bos=bos, eos=eos)

    def _choose(self, log_p_BV: Tensor) -> Tensor:
        return draw(log_p_BV, self.temperature, self.top_k, self.top_p)


class _Beam(NamedTuple):
    """The open hypotheses of all rows, best first, and the best closed one of each row."""

    score: Tensor  # [B, K]
    tokens: Tensor  # [B, K, L]
    best: Tensor  # [B] log p / penalty
    best_score: Tensor  # [B] log p
    best_tokens: Tensor  # [B, L]
    best_length: Tensor  # [B]


class BeamSearch(Search):
    """Beam search with the length penalty of Wu et al. (2016).

    The answer has the largest ``log p / ((5 + n) / 6) ** length_penalty`` for n tokens (``eos``
    not counted) among the hypotheses that were closed. At each step the ``width`` best
    extensions count: those by ``eos`` are closed, and the ``width`` best others stay open. A row
    is finished when no open hypothesis can win any more, however long it gets; so a bad one that
    is closed early never hides a good one. Without penalty, width 1 is greedy search.

    Args:
        width: hypotheses a row.
        length_penalty: 0 for none; larger prefers longer answers.
    """

    @checked
    def __init__(self, *, width: Count = 4, length_penalty: NonNegative = 0.0) -> None:
        self.width, self.length_penalty = width, length_penalty

    def find(
        self, step: StepFunction, state: State, limit_B: Tensor, *, bos: int, eos: int
    ) -> Answers:
        """See ``Search.find``."""
        rows, longest = limit_B.shape[0], int(limit_B.max())
        state = repeat_rows(state, self.width)
        last = limit_B.new_full((rows, self.width), bos)
        beam: _Beam | None = None
        for position in range(longest + 1):
            log_p, state = step(last, state)
            log_p = _restrict(log_p, limit_B <= position, bos, eos)
            beam = beam or self._begin(log_p, longest, eos)
            beam, last, origin = self._advance(beam, log_p, position, eos)
            if bool(self._finished(beam, limit_B).all()):
                break
            first = torch.arange(rows, device=origin.device).unsqueeze(1) * self.width
            state = select_rows(state, (origin + first).flatten())
        if beam is None:
            raise OptionError("the beam search was given no step to take")
        return Answers(beam.best_tokens, beam.best_length, beam.best_score)

    def _begin(self, log_p: Tensor, longest: int, eos: int) -> _Beam:
        """One open hypothesis a row: all copies but the first are ruled out."""
        rows, device = log_p.shape[0], log_p.device
        score = log_p.new_full((rows, self.width), NEVER)
        score[:, 0] = 0.0
        never = log_p.new_full((rows,), NEVER)
        none = torch.zeros(rows, dtype=torch.long, device=device)
        tokens = torch.full((rows, self.width, longest), eos, device=device)
        return _Beam(score, tokens, never, never, tokens[:, 0], none)

    def _advance(
        self, beam: _Beam, log_p: Tensor, position: int, eos: int
    ) -> tuple[_Beam, Tensor, Tensor]:
        """The beam after one more token; the tokens ``[B, K]`` and the hypotheses they extend."""
        size = log_p.shape[-1]
        total = (beam.score.unsqueeze(2) + log_p).flatten(1)
        score, index = total.topk(min(2 * self.width, total.shape[1]), dim=1)
        origin, token = index // size, index % size
        ends = token == eos
        beam = self._close(beam, score.masked_fill(~ends, NEVER), origin, position)
        score, pick = score.masked_fill(ends, NEVER).topk(self.width, dim=1)
        origin, token = origin.gather(1, pick), token.gather(1, pick)
        tokens = beam.tokens.gather(1, origin.unsqueeze(2).expand_as(beam.tokens))
        if position < tokens.shape[2]:
            tokens[:, :, position] = token
        return beam._replace(score=score, tokens=tokens), token, origin

    def _close(self, beam: _Beam, score: Tensor, origin: Tensor, length: int) -> _Beam:
        """Take the extensions by ``eos`` among the ``width`` best; the best of all is kept."""
        top, rank = score[:, : self.width].max(1)
        value = top / self._penalty(torch.full_like(top, length))
        better = value > beam.best
        parent = origin.gather(1, rank.unsqueeze(1))
        parent_tokens = beam.tokens.gather(
            1, parent.unsqueeze(2).expand(-1, 1, beam.tokens.shape[2])
        ).squeeze(1)
        return beam._replace(
            best=torch.where(better, value, beam.best),
            best_score=torch.where(better, top, beam.best_score),
            best_tokens=torch.where(better.unsqueeze(1), parent_tokens, beam.best_tokens),
            best_length=torch.where(better, length, beam.best_length),
        )

    def _finished(self, beam: _Beam, limit_B: Tensor) -> Tensor:
        """Rows whose open hypotheses cannot beat the best closed one."""
        hope = beam.score[:, 0] / self._penalty(limit_B.to(beam.score.dtype))
        return hope <= beam.best

    def _penalty(self, length: Tensor) -> Tensor:
        return ((5.0 + length) / 6.0) ** self.length_penalty
