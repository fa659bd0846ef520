"""Beam search: the best hypotheses of each row, side by side."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.errors import OptionError
from seqlab.heads.search import Answers, Search, StepFunction
from seqlab.heads.search_rules import NEVER, Wanted
from seqlab.heads.states import repeat_rows, select_rows
from seqlab.schema import Count, NonNegative, Whole, checked
from seqlab.types import State


class _Closed(NamedTuple):
    """The N best closed hypotheses of each row, best first."""

    value: Tensor  # [B, N] log p / penalty
    score: Tensor  # [B, N] log p
    tokens: Tensor  # [B, N, L]
    length: Tensor  # [B, N]

    def with_more(self, more: _Closed) -> _Closed:
        """The N best of these and others; of equal ones these come first."""
        count = self.value.shape[1]
        value, score, tokens, length = (
            torch.cat(pair, dim=1) for pair in zip(self, more, strict=True)
        )
        value, order = value.sort(dim=1, descending=True, stable=True)
        value, order = value[:, :count], order[:, :count]
        return _Closed(value, score.gather(1, order), _pick(tokens, order), length.gather(1, order))


class _Beam(NamedTuple):
    """The open hypotheses of all rows, best first, and the closed ones."""

    score: Tensor  # [B, K]
    tokens: Tensor  # [B, K, L]
    closed: _Closed


class BeamSearch(Search):
    """Beam search with the length penalty of Wu et al. (2016).

    The answer has the largest ``log p / ((5 + n) / 6) ** length_penalty`` for n tokens (``eos``
    not counted) among the hypotheses that were closed. At each step the ``width`` best
    extensions count: those by ``eos`` are closed, and the ``width`` best others stay open. A row
    is finished when no open hypothesis can win any more, however long it gets; so a bad one that
    is closed early never hides a good one. Without penalty, width 1 is greedy search. Of several
    answers a row (``n_best``, at most ``width``) the same is true of the last of them.

    Args:
        width: hypotheses a row.
        length_penalty: 0 for none; larger prefers longer answers.
        min_length: the fewest tokens of an answer, see ``seqlab.heads.search_rules``.
        no_repeat_ngram: no n tokens in a row twice, for this n; 0 for no such rule.
    """

    @checked
    def __init__(
        self,
        *,
        width: Count = 4,
        length_penalty: NonNegative = 0.0,
        min_length: Whole = 0,
        no_repeat_ngram: Whole = 0,
    ) -> None:
        self.width, self.length_penalty = width, length_penalty
        self.rules = Wanted(min_length, no_repeat_ngram)

    def find(
        self, step: StepFunction, state: State, limit_B: Tensor, *, bos: int, eos: int
    ) -> Answers:
        """See ``Search.find``."""
        return self.find_several(step, state, limit_B, bos=bos, eos=eos, n=1)[0]

    def find_several(
        self, step: StepFunction, state: State, limit_B: Tensor, *, bos: int, eos: int, n: int
    ) -> list[Answers]:
        """See ``Search.find_several``."""
        if n > self.width:
            raise OptionError(
                f"n_best: a beam of width {self.width} has no {n} answers; give "
                f"search={{name: beam, width: {n}}}"
            )
        rows, longest = limit_B.shape[0], int(limit_B.max())
        rules = self.rules.of(limit_B, bos, eos)
        state = repeat_rows(state, self.width)
        last = limit_B.new_full((rows, self.width), bos)
        beam: _Beam | None = None
        for position in range(longest + 1):
            log_p, state = step(last, state)
            beam = beam or self._begin(log_p, longest, eos, n)
            log_p = rules(log_p, beam.tokens[:, :, :position])
            beam, last, origin = self._advance(beam, log_p, position, eos)
            if bool(self._finished(beam, limit_B).all()):
                break
            first = torch.arange(rows, device=origin.device).unsqueeze(1) * self.width
            state = select_rows(state, (origin + first).flatten())
        if beam is None:
            raise OptionError("the beam search was given no step to take")
        closed = beam.closed
        return [
            Answers(closed.tokens[:, k], closed.length[:, k], closed.score[:, k]) for k in range(n)
        ]

    def _begin(self, log_p: Tensor, longest: int, eos: int, n: int) -> _Beam:
        """One open hypothesis a row: all copies but the first are ruled out."""
        rows, device = log_p.shape[0], log_p.device
        score = log_p.new_full((rows, self.width), NEVER)
        score[:, 0] = 0.0
        never = log_p.new_full((rows, n), NEVER)
        none = torch.zeros(rows, n, dtype=torch.long, device=device)
        tokens = torch.full((rows, self.width, longest), eos, device=device)
        return _Beam(score, tokens, _Closed(never, never, tokens[:, :n], none))

    def _advance(
        self, beam: _Beam, log_p: Tensor, position: int, eos: int
    ) -> tuple[_Beam, Tensor, Tensor]:
        """The beam after one more token; the tokens ``[B, K]`` and the hypotheses they extend."""
        size = log_p.shape[-1]
        total = (beam.score.unsqueeze(2) + log_p).flatten(1)
        score, index = total.topk(min(2 * self.width, total.shape[1]), dim=1)
        origin, token = index // size, index % size
        ends = token == eos
        closed = self._close(beam, score.masked_fill(~ends, NEVER), origin, position)
        score, pick = score.masked_fill(ends, NEVER).topk(self.width, dim=1)
        origin, token = origin.gather(1, pick), token.gather(1, pick)
        tokens = _pick(beam.tokens, origin)
        if position < tokens.shape[2]:
            tokens[:, :, position] = token
        return _Beam(score, tokens, closed), token, origin

    def _close(self, beam: _Beam, score: Tensor, origin: Tensor, length: int) -> _Closed:
        """Take the extensions by ``eos`` among the ``width`` best."""
        kept = beam.closed.value.shape[1]
        # ``score`` falls, so no more of them than are kept can matter
        score, rank = score[:, : self.width].topk(min(kept, score.shape[1], self.width), dim=1)
        lengths = torch.full_like(rank, length)
        value = score / self._penalty(lengths.to(score.dtype))
        more = _Closed(value, score, _pick(beam.tokens, origin.gather(1, rank)), lengths)
        return beam.closed.with_more(more)

    def _finished(self, beam: _Beam, limit_B: Tensor) -> Tensor:
        """Rows whose open hypotheses cannot beat the last of the closed ones that are wanted."""
        hope = beam.score[:, 0] / self._penalty(limit_B.to(beam.score.dtype))
        return hope <= beam.closed.value[:, -1]

    def _penalty(self, length: Tensor) -> Tensor:
        return ((5.0 + length) / 6.0) ** self.length_penalty


def _pick(x_BKL: Tensor, index_BN: Tensor) -> Tensor:
    """``[B, N, L]``: the entries of each row at ``index``."""
    return x_BKL.gather(1, index_BN.unsqueeze(2).expand(-1, -1, x_BKL.shape[2]))
