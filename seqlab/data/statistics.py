"""What the training rows say of a target: counts of classes, moments of numbers, lengths."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from seqlab.data.features.base import Feature
from seqlab.data.numbers import Moments
from seqlab.data.passes import Read
from seqlab.data.ragged import Array, Ragged
from seqlab.data.restoring import restoring
from seqlab.data.targets.base import Target
from seqlab.errors import BundleError
from seqlab.schema import check_fields
from seqlab.types import TargetInfo, TargetStatistics


def fit_statistics(
    target: Target, first: Feature, read: Read, limit: int | None
) -> TargetStatistics:
    """Go once over the training rows.

    Args:
        target: the fitted target.
        first: the first feature, whose steps are counted where the target is a sequence of its
            own.
        read: begins a pass over columns.
        limit: inputs are cut after so many steps.

    Raises:
        DataError: a value does not fit its column; the row is named.
    """
    info = target.info
    if info.kind == "tokens":
        return _length_line(_lengths(target, first, read, limit))
    name = target.column
    encoded = (target.encode(columns[name], where) for columns, where in read([name]))
    if info.kind in ("label", "labels", "tags"):
        return _counts(info, encoded)
    if info.kind in ("values", "step_values", "horizon"):
        return _moments(target, encoded)
    return TargetStatistics()


def _moments(target: Target, encoded: Iterable[Array | Ragged]) -> TargetStatistics:
    """Of all known numbers; a horizon is scaled as the series that it goes on with."""
    moments, size = Moments(target.info.size), target.info.size
    for rows in encoded:
        numbers = rows.values if isinstance(rows, Ragged) else rows
        moments.add(np.asarray(numbers, dtype=np.float64).reshape(-1, size))
    mean, std = target.scaling or (moments.mean, moments.std)
    return TargetStatistics(
        total=int(moments.counts.max()), mean=tuple(mean.tolist()), std=tuple(std.tolist())
    )


def _lengths(
    target: Target, first: Feature, read: Read, limit: int | None
) -> Iterator[tuple[Array, Array]]:
    """The steps of the inputs and of the targets."""
    for columns, where in read([first.column, target.column]):
        steps = first.encode(columns[first.column], where).truncate(limit)
        answers = target.encode(columns[target.column], where)
        if isinstance(answers, Ragged):
            yield steps.lengths, answers.lengths


def _counts(info: TargetInfo, encoded: Iterable[Array | Ragged]) -> TargetStatistics:
    counts, total = np.zeros(info.size, dtype=np.int64), 0
    for rows in encoded:
        ids = rows.values if isinstance(rows, Ragged) else rows
        if info.kind == "labels":
            counts += np.asarray(ids).sum(axis=0, dtype=np.int64)
        else:
            counts += np.bincount(np.asarray(ids, dtype=np.int64), minlength=info.size)
        total += len(ids)
    return TargetStatistics(counts=tuple(counts.tolist()), total=total)


def _length_line(lengths: Iterable[tuple[Array, Array]]) -> TargetStatistics:
    longest: dict[int, int] = {}
    total = steps = 0
    for inputs, outputs in lengths:
        for x, y in zip(inputs.tolist(), outputs.tolist(), strict=True):
            longest[x] = max(y, longest.get(x, 0))
        total += len(inputs)
        steps += int(np.sum(np.asarray(inputs, dtype=np.int64)))
    return TargetStatistics(total=total, length=line_above(longest, steps / max(total, 1)))


def line_above(highest: dict[int, int], middle: float) -> tuple[float, float]:
    """Slope and offset of the lowest line at ``middle`` that no point lies above.

    The slope is at least 0. Such a line is an edge of the points' upper hull, so one odd point
    far from the middle moves it little.

    >>> line_above({1: 7, 4: 5, 10: 11, 20: 20}, 8.0)
    (0.6842105263157895, 6.315789473684211)
    >>> line_above({3: 5}, 3.0)
    (0.0, 5.0)
    """
    hull: list[tuple[int, int]] = []
    for x, y in sorted(highest.items()):
        while len(hull) > 1 and _rise(hull[-2], hull[-1]) <= _rise(hull[-2], (x, y)):
            hull.pop()
        hull.append((x, y))
    for left, right in pairwise(hull):
        if right[0] >= middle:
            slope = _rise(left, right)
            return (slope, left[1] - slope * left[0]) if slope > 0 else (0.0, float(_top(hull)))
    return 0.0, float(_top(hull))


def _rise(left: tuple[int, int], right: tuple[int, int]) -> float:
    return (right[1] - left[1]) / (right[0] - left[0])


def _top(points: list[tuple[int, int]]) -> int:
    return max((y for _, y in points), default=0)


def plain_statistics(statistics: TargetStatistics) -> dict[str, Any]:
    """What ``read_statistics`` reads; what was not counted is left out."""
    return {key: value for key, value in dataclasses.asdict(statistics).items() if value}


def read_statistics(content: Any, info: TargetInfo, path: Path) -> TargetStatistics:
    """Statistics from a file.

    Raises:
        BundleError: they are not numbers, or not one for each class or value.
    """
    with restoring(path, "statistics of the target"):
        checked = check_fields(content, TargetStatistics, "target")
    sizes = {"counts": info.size, "mean": info.size, "std": info.size, "length": 2}
    for key, size in sizes.items():
        if key in content and len(checked[key]) != size:
            raise BundleError(f"{path}: target.{key}: expected a list of {size} numbers")
        checked[key] = tuple(checked[key])
    return TargetStatistics(**checked)
