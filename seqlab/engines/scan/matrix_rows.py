"""Matrix recurrences in which each row fades at a rate of its own, as matrix products.

What is left at step t of a write at step s is a product of decays, one for each row; to have it in
a matrix product it is split at a step m between the two, ``(q_t a_m+1..t) (a_s+1..m k_s)``. The
steps of a chunk are split in the middle, their halves again, and so on (Yang et al., "Gated linear
attention transformers with hardware-efficient training", 2024, section 4.3, have two levels):
every factor is a product of decays of at most 1, so nothing overflows or cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlab.cells.base import widened


class Inside(NamedTuple):
    """What the steps of chunks ``[B, N, chunks, C, ...]`` have to do with each other and the rest.

    ``scores [C, C]``: what each query reads of each write up to its step. ``query [C, K]``: as the
    memory before the chunk is read. ``key [C, K]``: as the memory behind it is written.
    ``left [K]``: what of the memory before is left behind it.
    """

    scores: Tensor
    query: Tensor
    key: Tensor
    left: Tensor


def run_rows(
    parts: Sequence[Tensor], memory: Tensor, steps: int, *, delta: bool = False
) -> tuple[Tensor, Tensor]:
    """What all queries read, ``[B, N, T, V]``, and the last memory.

    Args:
        parts: query, key, value and logarithms of decays, at most 0, ``[B, N, T, width]`` each,
            and rates ``[B, N, T]``.
        memory: ``[B, N, K, V]``, before the first step.
        steps: of a chunk, a power of 2.
        delta: a write replaces what its key reads, at the rate.
    """
    length = parts[0].shape[2]
    steps = min(steps, 1 << (length - 1).bit_length())
    query, key, value, log_decay = (
        _cut(F.pad(part, (0, 0, 0, -length % steps)), 2, steps) for part in parts[:4]
    )
    decay = log_decay.exp()
    inside = _inside(query, key, decay)
    lefts = inside.left.unsqueeze(-1).unbind(2)
    before = []
    if delta:
        rate = _cut(F.pad(parts[4], (0, -length % steps)), 2, steps).unsqueeze(-1)
        value, seen = _replaced(key, value, decay, rate)
        written = []
        steps_of = zip(value.unbind(2), seen.unbind(2), inside.key.unbind(2), lefts, strict=True)
        for new, read, keys, left in steps_of:
            before.append(memory)
            written.append(new - read @ memory)
            memory = left * memory + keys.mT @ written[-1]
        value = torch.stack(written, 2)
    else:
        for new, left in zip((inside.key.mT @ value).unbind(2), lefts, strict=True):
            before.append(memory)
            memory = left * memory + new
    y = inside.scores @ value + inside.query @ torch.stack(before, 2)
    return y.flatten(2, 3)[:, :, :length], memory


def replaced(seen: Tensor, wanted: Tensor) -> Tensor:
    """What is written where each write takes away what its key reads of those before it.

    That solves ``(1 + seen) written = wanted``; no half precision does.

    Args:
        seen: ``[..., C, C]``, zero on the diagonal and above.
        wanted: ``[..., C, V]``.
    """
    dtype = widened(torch.promote_types(seen.dtype, wanted.dtype))
    found: Tensor = torch.linalg.solve_triangular(
        seen.to(dtype), wanted.to(dtype), upper=False, unitriangular=True
    )
    return found.to(wanted.dtype)


def _replaced(key: Tensor, value: Tensor, decay: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    """What the delta rule writes: the first, minus the second times the memory before the chunk."""
    inside = _inside(key, key, decay)
    wanted = rate * torch.cat([value, inside.query], -1)
    seen = (rate * inside.scores).tril(-1)
    found = replaced(seen, wanted)
    return found[..., : value.shape[-1]], found[..., value.shape[-1] :]


def _inside(query: Tensor, key: Tensor, decay: Tensor) -> Inside:
    """From blocks of one step to blocks of two and so on: ``[B, N, chunks, blocks, steps, K]``."""
    scores = (query * key).sum(-1).unsqueeze(-1).unsqueeze(-1)
    left = decay
    query, key = (query * decay).unsqueeze(-2), key.unsqueeze(-2)
    while query.shape[-3] > 1:
        queries, keys, both, lefts = (
            _cut(part, 3, 2).unbind(4) for part in (query, key, scores, left)
        )
        size = query.shape[-2]
        across = queries[1] @ keys[0].mT
        scores = torch.cat([F.pad(both[0], (0, size)), torch.cat([across, both[1]], -1)], -2)
        query = torch.cat([queries[0], queries[1] * lefts[0].unsqueeze(-2)], -2)
        key = torch.cat([keys[0] * lefts[1].unsqueeze(-2), keys[1]], -2)
        left = lefts[0] * lefts[1]
    return Inside(scores.squeeze(3), query.squeeze(3), key.squeeze(3), left.squeeze(3))


def _cut(part: Tensor, place: int, size: int) -> Tensor:
    """A dimension as two, of which the second has a size."""
    return part.reshape(*part.shape[:place], -1, size, *part.shape[place + 1 :])
