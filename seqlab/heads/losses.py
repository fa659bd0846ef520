"""The cross entropy that the heads share."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlab.heads.precision import at_least_float32

#: Stands for entries that do not count, outside of every range of classes.
IGNORED = -100


class LossTerm(NamedTuple):
    """A mean of one batch, and of how much: rows, tokens, or the sum of their weights."""

    loss: Tensor
    weight: Tensor | float


def entropy_weight(
    target: Tensor,
    *,
    mask: Tensor | None = None,
    weight: Tensor | None = None,
    counts: Tensor | None = None,
) -> Tensor:
    """What ``cross_entropy`` of the same entries is a mean over: their number, or their weights.

    >>> float(entropy_weight(torch.tensor([1, 0, 1]), weight=torch.tensor([1.0, 0.5])))
    2.0
    """
    real = torch.ones_like(target, dtype=torch.bool) if mask is None else mask
    share = real.double()
    if counts is not None:
        share = share * counts
    if weight is not None:
        share = share * weight[target.masked_fill(~real, 0)]
    return share.sum()


def cross_entropy(
    scores: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    weight: Tensor | None = None,
    counts: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Mean of ``-log softmax(scores)[target]`` over real entries; 0 where there is none.

    With weights it is the weighted mean. With smoothing s the target is ``1 - s`` plus ``s / C``
    on the right class and ``s / C`` on each other (Szegedy et al. 2016).

    Args:
        scores: ``[..., C]``; computed in float32 at least.
        target: ``[...]`` int64; what stands at masked entries does not matter.
        mask: ``[...]`` bool, True = real; None when all are.
        weight: ``[C]``, or None.
        counts: ``[...]``, how often each entry stands there; None: once.
        label_smoothing: s.

    >>> scores, target = torch.zeros(2, 4), torch.tensor([1, 99])
    >>> round(float(cross_entropy(scores, target, mask=torch.tensor([True, False]))), 4)
    1.3863
    """
    scores = at_least_float32(scores)
    if mask is not None:
        target = target.masked_fill(~mask, IGNORED)
    weight = None if weight is None else weight.to(scores.dtype)
    if counts is not None:
        return _counted(scores, target, counts, weight, label_smoothing)
    total = F.cross_entropy(
        scores.flatten(0, -2),
        target.flatten(),
        weight=weight,
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    if weight is not None:
        share = weight[target.clamp(min=0)]
        share = share if mask is None else share * mask
        return total / share.sum().clamp(min=torch.finfo(share.dtype).tiny)
    count = target.numel() if mask is None else mask.sum()
    return total / (max(count, 1) if isinstance(count, int) else count.clamp(min=1))


def _counted(
    scores: Tensor, target: Tensor, counts: Tensor, weight: Tensor | None, label_smoothing: float
) -> Tensor:
    """``cross_entropy`` with entries that stand there any number of times."""
    costs = F.cross_entropy(
        scores.flatten(0, -2),
        target.flatten(),
        weight=weight,
        ignore_index=IGNORED,
        reduction="none",
        label_smoothing=label_smoothing,
    )
    share = counts.to(scores.dtype) * (target != IGNORED)
    total = (costs * share.flatten()).sum()
    if weight is not None:
        share = share * weight[target.clamp(min=0)]
    return total / share.sum().clamp(min=torch.finfo(share.dtype).tiny)


def weighted_mean(costs: Tensor, weights: Tensor) -> Tensor:
    """``sum w c / sum w``; 0 where all weights are.

    Args:
        costs: ``[...]``.
        weights: ``[...]``, none below 0.

    >>> float(weighted_mean(torch.tensor([1.0, 4.0]), torch.tensor([2.0, 1.0])))
    2.0
    """
    weights = weights.to(costs.dtype)
    return (costs * weights).sum() / weights.sum().clamp(min=torch.finfo(costs.dtype).tiny)
