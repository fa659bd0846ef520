"""The k best label sequences of a linear chain (Viterbi lists; Seshadri and Sundberg 1994)."""

from __future__ import annotations

import torch
from torch import Tensor

from seqlab.types import lengths_to_mask


def k_best(
    emissions_BTC: Tensor,
    lengths_B: Tensor,
    start_C: Tensor,
    transitions_CC: Tensor,
    end_C: Tensor,
    *,
    k: int,
) -> tuple[Tensor, Tensor]:
    """The ``k`` label sequences of highest score, best first.

    Args:
        emissions_BTC: scores of each label at each step, of at least one step.
        lengths_B: the real steps of each row, from the left, at least 1.
        start_C: score of each label at the first step.
        transitions_CC: score of each pair of neighbours.
        end_C: score of each label at the last step.
        k: how many.

    Returns:
        Labels ``[B, k, T]``, 0 at padded steps, and scores ``[B, k]``; -inf where there are no
        more sequences.

    >>> emissions, none = torch.tensor([[[0.0, 1.0], [3.0, 0.0]]]), torch.zeros(2)
    >>> labels, scores = k_best(emissions, torch.tensor([2]), none, torch.zeros(2, 2), none, k=3)
    >>> labels.tolist(), scores.tolist()
    ([[[1, 0], [0, 0], [1, 1]]], [[4.0, 3.0, 1.0]])
    """
    rows, steps, size = emissions_BTC.shape
    mask = lengths_to_mask(lengths_B, steps)
    never = emissions_BTC.new_full((rows, size, k - 1), float("-inf"))
    best = torch.cat([(start_C + emissions_BTC[:, 0]).unsqueeze(2), never], 2)
    stay = torch.arange(size * k, device=best.device).view(1, size, k).expand_as(best)
    origins = []
    for t in range(1, steps):
        total = best.unsqueeze(3) + transitions_CC.unsqueeze(1)
        score, origin = total.flatten(1, 2).topk(k, dim=1)
        reached = score.transpose(1, 2) + emissions_BTC[:, t].unsqueeze(2)
        keep = mask[:, t].view(-1, 1, 1)
        best = torch.where(keep, reached, best)
        origins.append(torch.where(keep, origin.transpose(1, 2), stay))
    score, place = (best + end_C.unsqueeze(1)).flatten(1).topk(k, dim=1)
    path = [place]
    for origin in reversed(origins):
        place = origin.flatten(1).gather(1, place)
        path.append(place)
    labels = torch.stack(path[::-1], dim=2) // k
    return labels.masked_fill(~mask.unsqueeze(1), 0), score
