"""The real steps of masked rows, counted, and packed: moved together without what is masked."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

#: Where fewer steps than one in so many are real, packing pays on a CPU too, as measured.
SPARSE = 6


class RealSteps(NamedTuple):
    """A mask ``[B, T]``, its real steps in each row, and these as the processor's numbers."""

    mask: Tensor
    lengths: Tensor
    counts: list[int]

    @property
    def most(self) -> int:
        """The real steps of the longest row."""
        return max(self.counts)

    @property
    def even(self) -> bool:
        """Whether all rows have as many real steps, and some."""
        return 0 < min(self.counts) == self.most

    def is_sparse(self) -> bool:
        """Whether almost all that would run, if padding did, is padding.

        >>> one_each = torch.eye(10, 20, dtype=torch.bool)
        >>> real_steps(one_each).is_sparse()
        False
        >>> real_steps(one_each | (torch.arange(10) == 0).unsqueeze(1)).is_sparse()
        True
        """
        return sum(self.counts) * SPARSE < self.most * len(self.counts)


def real_steps(mask: Tensor) -> RealSteps:
    """The real steps of a mask; a GPU is waited for, once."""
    lengths = mask.sum(1)
    return RealSteps(mask, lengths, lengths.tolist())


class Packing(NamedTuple):
    """Where packed steps come from.

    Attributes:
        sizes: ``[S]``, the rows that have a first, a second, ... real step; on the CPU.
        rows: the rows that have real steps, the longest first.
        places: ``[N]``, the place ``b * T + t`` of each real step, in the order of running.
    """

    sizes: Tensor
    rows: Tensor
    places: Tensor


def packing_of(real: RealSteps, *, reverse: bool) -> Packing:
    """How the steps of some rows are packed, with no more waiting for a GPU.

    >>> mask = torch.tensor([[True, False, False], [True, False, True]])
    >>> [part.tolist() for part in packing_of(real_steps(mask), reverse=False)]
    [[2, 1], [1, 0], [3, 0, 5]]
    """
    mask, device = real.mask, real.mask.device
    batch, steps, total = *mask.shape, sum(real.counts)
    lengths = torch.tensor(real.counts, device="cpu")
    order = lengths.argsort(descending=True, stable=True)
    times = torch.arange(real.most, device="cpu")
    sizes = (lengths > times.unsqueeze(1)).sum(1)
    firsts, ranks = sizes.cumsum(0) - sizes, order.argsort()
    there = batch - real.counts.count(0)
    told = torch.cat([order, ranks, firsts]).to(device, non_blocking=True)
    order, ranks, firsts = torch.split(told, [batch, batch, real.most])
    seen = mask.flip(1).cumsum(1).flip(1) if reverse else mask.cumsum(1)
    place = torch.where(mask, firsts[(seen - 1).clamp_min(0)] + ranks.unsqueeze(1), total)
    # masked steps all go to one place past the end
    places = place.new_empty(total + 1)
    places.scatter_(0, place.flatten(), torch.arange(batch * steps, device=device))
    return Packing(sizes, order[:there], places[:total])
