"""Connectionist temporal classification (Graves et al. 2006): label prefixes and their odds.

With ``y_t(k)`` the probability of token k, or of the blank, at frame t, the probability of a label
sequence is the sum over all alignments that collapse to it. For a prefix ``g`` let ``n_t(g)`` and
``b_t(g)`` be the sums over the alignments of the first t frames that collapse to ``g`` and end in
its last token, or in a blank; ``b_0 = 1`` for the empty prefix. Then for ``h = g + c``

    phi_t = b_t(g) + (n_t(g) unless c is the last token of g)
    n_t(h) = (n_{t-1}(h) + phi_{t-1}) y_t(c)
    b_t(h) = (n_{t-1}(h) + b_{t-1}(h)) y_t(blank)
    P(labels = h) = n_T(h) + b_T(h)
    P(labels begin with h) = sum_t phi_{t-1} y_t(c)

so that the next token after a prefix has a probability like a decoder's, and every search of a
decoder is one of prefixes (Watanabe et al. 2017). Here all of it is in logarithms.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.heads.search import Answers
from seqlab.heads.search_rules import NEVER
from seqlab.repeatable import cumulative_sum


class Prefixes(NamedTuple):
    """R label prefixes with their sums, as logarithms; ``last`` is the blank for the empty one."""

    token: Tensor  # [R, T + 1] n_t
    blank: Tensor  # [R, T + 1] b_t
    last: Tensor  # [R]
    mass: Tensor  # [R] log P(labels begin so)


def empty_prefixes(frames_BTV: Tensor, blank: int) -> Prefixes:
    """Nothing written yet.

    Args:
        frames_BTV: log probabilities; frames that do not count hold the blank with certainty.
        blank: the id of the blank.
    """
    rows, steps, _ = frames_BTV.shape
    certain = frames_BTV.new_zeros(rows)
    blanks = torch.cat([certain.unsqueeze(1), cumulative_sum(frames_BTV[:, :, blank], 1)], 1)
    never = frames_BTV.new_full((rows, steps + 1), NEVER)
    return Prefixes(never, blanks, torch.full_like(certain, blank, dtype=torch.long), certain)


class PrefixSteps:
    """A step of a search over prefixes: ``seqlab.heads.search.StepFunction``.

    The last tokens are appended to their prefixes, but for the blank, which stands for none;
    ``eos`` in the answer is the end of the labels. The probabilities of a step sum to 1.

    Args:
        frames_BTV: as for ``empty_prefixes``.
        blank: the id of the blank.
        eos: the id that stands for the end.

    >>> frames = torch.tensor([[[0.6, 0.4, 0.0], [0.6, 0.4, 0.0]]]).log()
    >>> step = PrefixSteps(frames, blank=0, eos=2)
    >>> log_p, _ = step(torch.tensor([[0]]), empty_prefixes(frames, 0))
    >>> [round(p, 2) for p in log_p.exp().flatten().tolist()]  # 1: by 01, 10 and 11
    [0.0, 0.64, 0.36]
    """

    def __init__(self, frames_BTV: Tensor, *, blank: int, eos: int) -> None:
        self.frames, self.blank, self.eos = frames_BTV, blank, eos

    def __call__(self, tokens_BK: Tensor, state: Prefixes) -> tuple[Tensor, Prefixes]:
        """Append tokens; log probabilities ``[B, K, V]`` of the next, and the new prefixes."""
        rows, beams = tokens_BK.shape
        frames = self.frames.repeat_interleave(beams, dim=0)
        new = self._append(tokens_BK.flatten(), frames, state)
        written = torch.logaddexp(new.token, new.blank)
        log_p = torch.logsumexp(written[:, :-1, None] + frames, dim=1)
        # a token follows its like only over a blank
        again = torch.logsumexp(new.blank[:, :-1] + _of(new.last, frames), dim=1)
        log_p = log_p.scatter(1, new.last[:, None], again[:, None])
        log_p[:, self.eos] = written[:, -1]
        log_p[:, self.blank] = NEVER
        log_p = (log_p - new.mass[:, None]).nan_to_num(NEVER, NEVER, NEVER)
        return log_p.view(rows, beams, -1), new

    def _append(self, token_R: Tensor, frames_RTV: Tensor, old: Prefixes) -> Prefixes:
        again = (token_R == old.last)[:, None]
        phi = torch.where(again, old.blank, torch.logaddexp(old.blank, old.token))[:, :-1]
        emit, rest = _of(token_R, frames_RTV), frames_RTV[:, :, self.blank]
        never = torch.full_like(old.mass, NEVER)
        tokens, blanks = [never], [never]
        for t in range(frames_RTV.shape[1]):
            blank = torch.logaddexp(tokens[-1], blanks[-1]) + rest[:, t]
            tokens.append(torch.logaddexp(tokens[-1], phi[:, t]) + emit[:, t])
            blanks.append(blank)
        mass = torch.logsumexp(phi + emit, dim=1)
        new = Prefixes(torch.stack(tokens, 1), torch.stack(blanks, 1), token_R, mass)
        kept = token_R == self.blank
        return Prefixes(
            *(
                torch.where(kept.view(-1, *[1] * (a.dim() - 1)), a, b)
                for a, b in zip(old, new, strict=True)
            )
        )


def _of(token_R: Tensor, frames_RTV: Tensor) -> Tensor:
    """``[R, T]``: each row's own token in all frames."""
    index = token_R.view(-1, 1, 1).expand(-1, frames_RTV.shape[1], 1)
    return frames_RTV.gather(2, index).squeeze(2)


def best_path(frames_BTV: Tensor, blank: int) -> Answers:
    """The most probable alignment of each row, collapsed; its score is that alignment's.

    >>> frames = torch.tensor([[[0.1, 0.9], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]]]).log()
    >>> best_path(frames, blank=0).to_lists()
    [[1, 1]]
    """
    score, path = frames_BTV.max(-1)
    before = torch.cat([torch.full_like(path[:, :1], blank), path[:, :-1]], 1)
    written = (path != blank) & (path != before)
    order = torch.argsort(written.to(torch.uint8), dim=1, descending=True, stable=True)
    return Answers(path.gather(1, order), written.sum(1), score.sum(1))
