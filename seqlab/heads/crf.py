"""The linear-chain conditional random field (Lafferty, McCallum and Pereira 2001).

For emissions ``e [T, C]`` and labels ``y`` of a row of length n,

    score(y) = start[y_1] + sum_t e_t[y_t] + sum_t transitions[y_t, y_{t+1}] + end[y_n]
    p(y | e) = exp(score(y)) / Z,    Z = the sum of exp(score) over all label sequences

Z comes from the forward algorithm, the best sequence from Viterbi's (Rabiner 1989).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqlab.heads.k_best import k_best
from seqlab.heads.precision import at_least_float32
from seqlab.heads.schemes import Constraints
from seqlab.types import lengths_to_mask

#: Added to the score of what a scheme forbids: exp of it is 0, and gradients stay finite.
FORBIDDEN = -1.0e4


class LinearChainCRF(nn.Module):
    """Scores, likelihood, best sequence and marginals of label sequences.

    All methods take ``emissions [B, T, C]`` (finite, also at padded steps) and ``lengths [B]``;
    rows of length 0 have the one empty sequence, of probability 1. With constraints, sequences
    that the scheme forbids have probability 0. Training rows whose labels break the scheme are
    scored by the unconstrained field instead: their loss stays that of a proper distribution.

    Args:
        size: the number of labels, C.
        constraints: what the label scheme allows, or None.

    >>> crf = LinearChainCRF(3)
    >>> emissions, lengths = torch.randn(2, 4, 3), torch.tensor([4, 2])
    >>> crf.log_likelihood(emissions, torch.zeros(2, 4, dtype=torch.long), lengths).shape
    torch.Size([2])
    """

    forbidden_start: Tensor
    forbidden_end: Tensor
    forbidden_transitions: Tensor

    def __init__(self, size: int, constraints: Constraints | None = None) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.empty(size).uniform_(-0.1, 0.1))
        self.end = nn.Parameter(torch.empty(size).uniform_(-0.1, 0.1))
        self.transitions = nn.Parameter(torch.empty(size, size).uniform_(-0.1, 0.1))
        self.constrained = constraints is not None
        if constraints is not None:
            for name, allowed in zip(Constraints._fields, constraints, strict=True):
                self.register_buffer(f"forbidden_{name}", ~allowed, persistent=False)

    def log_likelihood(self, emissions_BTC: Tensor, tags_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """``log p(tags | emissions)`` of each row, ``[B]``, in float32 at least."""
        emissions_BTC = at_least_float32(emissions_BTC)
        steps = emissions_BTC.shape[1]
        if steps == 0:
            return emissions_BTC.new_zeros(emissions_BTC.shape[0])
        mask = lengths_to_mask(lengths_B, steps)
        tags_BT = tags_BT.masked_fill(~mask, 0)
        last = tags_BT.gather(1, (lengths_B - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
        start, transitions, end = self._tables(self._lawful(tags_BT, last, mask))
        alphas = _forward(emissions_BTC, mask, start, transitions)
        log_z = torch.logsumexp(alphas[-1] + end, dim=1)
        steps_score = emissions_BTC.gather(2, tags_BT.unsqueeze(-1)).squeeze(-1)
        pairs_score = self.transitions[tags_BT[:, :-1], tags_BT[:, 1:]]
        score = (
            self.start[tags_BT[:, 0]]
            + (steps_score * mask).sum(1)
            + (pairs_score * mask[:, 1:]).sum(1)
            + self.end[last]
        )
        return torch.where(lengths_B > 0, score - log_z, torch.zeros_like(score))

    @torch.no_grad()
    def decode(self, emissions_BTC: Tensor, lengths_B: Tensor) -> Tensor:
        """The most probable labels ``[B, T]`` of each row, 0 at padded steps."""
        return viterbi(at_least_float32(emissions_BTC), lengths_B, *self._tables(None))

    @torch.no_grad()
    def k_best(self, emissions_BTC: Tensor, lengths_B: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The ``k`` most probable labels ``[B, k, T]`` of each row, and their scores ``[B, k]``."""
        return k_best(at_least_float32(emissions_BTC), lengths_B, *self._tables(None), k=k)

    @torch.no_grad()
    def marginals(self, emissions_BTC: Tensor, lengths_B: Tensor) -> Tensor:
        """``p(y_t = c | emissions)``, ``[B, T, C]``, 0 at padded steps (forward-backward)."""
        emissions_BTC = at_least_float32(emissions_BTC)
        steps = emissions_BTC.shape[1]
        if steps == 0:
            return torch.zeros_like(emissions_BTC)
        mask = lengths_to_mask(lengths_B, steps)
        start, transitions, end = self._tables(None)
        alphas = torch.stack(_forward(emissions_BTC, mask, start, transitions), dim=1)
        betas = [end.expand_as(alphas[:, 0])]
        for t in range(steps - 1, 0, -1):
            ahead = transitions + (emissions_BTC[:, t] + betas[-1]).unsqueeze(1)
            betas.append(torch.where(mask[:, t].unsqueeze(1), torch.logsumexp(ahead, 2), betas[-1]))
        joint = alphas + torch.stack(betas[::-1], dim=1)
        return joint.softmax(-1) * mask.unsqueeze(-1)

    def _lawful(self, tags_BT: Tensor, last_B: Tensor, mask_BT: Tensor) -> Tensor | None:
        """Which rows keep to the scheme, ``[B]`` bool; None without a scheme."""
        if not self.constrained:
            return None
        breaks = self.forbidden_transitions[tags_BT[:, :-1], tags_BT[:, 1:]] & mask_BT[:, 1:]
        edges = self.forbidden_start[tags_BT[:, 0]] | self.forbidden_end[last_B]
        return ~(edges | breaks.any(1))

    def _tables(self, lawful_B: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Start, transition and end scores with what is forbidden, for all rows or each row."""
        if not self.constrained:
            return self.start, self.transitions, self.end
        start = self.start + FORBIDDEN * self.forbidden_start
        transitions = self.transitions + FORBIDDEN * self.forbidden_transitions
        end = self.end + FORBIDDEN * self.forbidden_end
        if lawful_B is None:
            return start, transitions, end
        return (
            torch.where(lawful_B[:, None], start, self.start),
            torch.where(lawful_B[:, None, None], transitions, self.transitions),
            torch.where(lawful_B[:, None], end, self.end),
        )


def _forward(
    emissions_BTC: Tensor, mask_BT: Tensor, start: Tensor, transitions: Tensor
) -> list[Tensor]:
    """The forward scores after each step, each ``[B, C]``; padded steps change nothing."""
    emission = emissions_BTC.unbind(1)
    keep = mask_BT.unsqueeze(-1).unbind(1)
    alpha = start + emission[0]
    alphas = [alpha]
    for t in range(1, len(emission)):
        reached = torch.logsumexp(alpha.unsqueeze(2) + transitions, dim=1) + emission[t]
        alpha = torch.where(keep[t], reached, alpha)
        alphas.append(alpha)
    return alphas


def viterbi(
    emissions_BTC: Tensor, lengths_B: Tensor, start_C: Tensor, transitions_CC: Tensor, end_C: Tensor
) -> Tensor:
    """The labels ``[B, T]`` of highest score, 0 at padded steps; the lowest ids win ties."""
    rows, steps, size = emissions_BTC.shape
    if steps == 0:
        return lengths_B.new_zeros(rows, 0)
    mask = lengths_to_mask(lengths_B, steps)
    stay = torch.arange(size, device=emissions_BTC.device).expand(rows, size)
    best = start_C + emissions_BTC[:, 0]
    origins = []
    for t in range(1, steps):
        score, origin = (best.unsqueeze(2) + transitions_CC).max(dim=1)
        keep = mask[:, t].unsqueeze(1)
        best = torch.where(keep, score + emissions_BTC[:, t], best)
        origins.append(torch.where(keep, origin, stay))
    label = (best + end_C).argmax(1, keepdim=True)
    path = [label]
    for origin in reversed(origins):
        label = origin.gather(1, label)
        path.append(label)
    return torch.cat(path[::-1], dim=1).masked_fill(~mask, 0)
