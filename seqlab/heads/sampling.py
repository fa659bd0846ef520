"""A random token from log probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from seqlab.repeatable import cumulative_sum


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
    if top_k is None and top_p is None:
        p = (log_p_NV if temperature == 1 else log_p_NV / temperature).softmax(1)
        return torch.multinomial(p, 1, generator=random).squeeze(1)
    scores, order = (log_p_NV / temperature).sort(dim=1, descending=True, stable=True)
    if top_k is not None:
        scores[:, top_k:] = float("-inf")
    p = scores.softmax(1)
    if top_p is not None:
        p[:, 1:] *= (cumulative_sum(p, 1) - p < top_p)[:, 1:]
    drawn = torch.multinomial(p, 1, generator=random)
    tokens: Tensor = order.gather(1, drawn).squeeze(1)
    return tokens
