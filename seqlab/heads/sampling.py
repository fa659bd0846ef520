"""A random token from log probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from seqlab.repeatable import cumulative_sum

NEVER = float("-inf")


def draw(
    log_p_NV: Tensor,
    temperature: float,
    top_k: int | None = None,
    top_p: float | None = None,
    random: torch.Generator | None = None,
) -> Tensor:
    """``[N]``: a token a row, from ``softmax(log p / temperature)``.

    Args:
        log_p_NV: log probabilities.
        temperature: below 1 makes the probable more probable; 0 takes the most probable.
        top_k: only among the k most probable; None for all (Fan et al. 2018).
        top_p: only among the fewest that have this probability together (Holtzman et al. 2020).
        random: the random state; None for torch's own.

    >>> log_p = torch.tensor([[0.1, 0.2, 0.7]]).log()
    >>> draw(log_p, 0.0).tolist(), draw(log_p, 1.0, top_p=0.6).tolist()
    ([2], [2])
    """
    if temperature == 0:
        return log_p_NV.argmax(1)
    scores = log_p_NV if temperature == 1 else log_p_NV / temperature
    p = narrowed(scores, top_k, top_p).softmax(1)
    return torch.multinomial(p, 1, generator=random).squeeze(1)


def narrowed(scores_NV: Tensor, top_k: int | None = None, top_p: float | None = None) -> Tensor:
    """Scores before a softmax, with those that ``top_k`` and ``top_p`` leave out at -inf.

    Args:
        scores_NV: the scores.
        top_k: as for ``draw``.
        top_p: as for ``draw``, of what ``top_k`` leaves; the most probable always stays.

    >>> narrowed(torch.tensor([[1.0, 3.0, 2.0]]), top_k=2).tolist()
    [[-inf, 3.0, 2.0]]
    """
    if top_k is None and top_p is None:
        return scores_NV
    scores, order = scores_NV.sort(dim=1, descending=True, stable=True)
    if top_k is not None:
        scores[:, top_k:] = NEVER
    if top_p is not None:
        p = scores.softmax(1)
        full = cumulative_sum(p, 1) - p >= top_p
        full[:, 0] = False
        scores = scores.masked_fill(full, NEVER)
    return torch.empty_like(scores_NV).scatter(1, order, scores)


def gumbel_noise(*shape: int, random: torch.Generator | None = None) -> Tensor:
    """Noise g for which ``argmax(scores + g)`` is a draw from ``softmax(scores)`` (Gumbel 1954).

    On the CPU, in float64. Drawn in one piece or step by step it is the same, so that many steps
    can be drawn at once.

    Args:
        shape: of the noise.
        random: the random state; None for torch's own.

    >>> noise = gumbel_noise(5000, 3, random=torch.Generator().manual_seed(0))
    >>> tokens = (torch.tensor([0.1, 0.2, 0.7]).log() + noise).argmax(1)
    >>> [round(share, 1) for share in (tokens.bincount() / 5000).tolist()]
    [0.1, 0.2, 0.7]
    """
    uniform = torch.rand(shape, dtype=torch.float64, generator=random, device="cpu")
    return uniform.log_().neg_().log_().neg_()
