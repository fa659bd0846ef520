"""The order of rows: which rows make which batch.

The training order is a function of (seed, epoch) and nothing else, so a run that is stopped
anywhere goes on exactly where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

#: Rows are sorted by length within windows of so many batches: enough to save padding, few
#: enough to leave the order random.
WINDOW_BATCHES = 50


def training_batches(
    keys: Indices, batch_size: int, *, bucket: bool, seed: int, epoch: int
) -> list[Indices]:
    """The rows of each training batch of an epoch.

    Args:
        keys: ``[R]``, what rows of like length share.
        batch_size: rows in a batch; the last may have fewer.
        bucket: batch rows with near keys together, else at random.
        seed: the run's seed.
        epoch: counted from 0.

    >>> keys = np.array([3, 1, 2, 1])
    >>> batches = training_batches(keys, 2, bucket=True, seed=0, epoch=0)
    >>> sorted(sorted(keys[batch].tolist()) for batch in batches)
    [[1, 1], [2, 3]]
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(keys))
    if not bucket:
        return cut(order, batch_size)
    window = batch_size * WINDOW_BATCHES
    batches: list[Indices] = []
    for start in range(0, len(order), window):
        part = order[start : start + window]
        batches += cut(part[np.argsort(keys[part], kind="stable")], batch_size)
    return [batches[place] for place in random.permutation(len(batches))]


def evaluation_batches(keys: Indices, batch_size: int, *, bucket: bool) -> list[Indices]:
    """The rows of each validation or test batch: in order, or sorted by length."""
    order = np.argsort(keys, kind="stable") if bucket else np.arange(len(keys))
    return cut(order, batch_size)


def cut(order: Indices, batch_size: int) -> list[Indices]:
    """Consecutive rows as batches."""
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def subset(count: int, limit: int | None, seed: int) -> Indices:
    """``limit`` of ``count`` rows, chosen by the seed, in their order."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng([seed, 1]).permutation(count)[:limit])


def held_out(
    count: int, fraction: float, seed: int, classes: Sequence[Any] | None = None
) -> npt.NDArray[np.bool_]:
    """Which of ``count`` training rows become validation rows, at least one of them.

    Where each row has a class, every class has its share of them, as near as whole rows allow.

    >>> chosen = held_out(20, 0.2, 0, ["often"] * 15 + ["seldom"] * 5)
    >>> int(chosen[:15].sum()), int(chosen[15:].sum())
    (3, 1)
    """
    size = max(1, round(count * fraction))
    chosen = np.zeros(count, dtype=np.bool_)
    order = np.random.default_rng([seed, 0]).permutation(count)
    places = np.arange(size)
    if classes is not None:
        order, places = by_class(order, classes), evenly(count, size)
    chosen[order[places]] = True
    return chosen


def by_class(order: Indices, classes: Sequence[Any]) -> Indices:
    """An order of rows with those of one class after those of another."""
    numbers = np.unique([str(name) for name in classes], return_inverse=True)[1]
    return order[np.argsort(numbers[order], kind="stable")]


def evenly(count: int, size: int) -> Indices:
    """``size`` of ``count`` places, as far apart as can be."""
    return ((np.arange(size) + 0.5) * count / max(1, size)).astype(np.int64)
