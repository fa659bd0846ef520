"""What a curve over distance says about memory: half-life, rate of decay, reach."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

Curve = Sequence[tuple[int, float]]

#: The share of a curve that lies within its reach.
_SHARE = 0.9


class Memory(NamedTuple):
    """How long a state is remembered, in steps.

    Attributes:
        half_life: the distance from the first, at which the curve has fallen to half of its first
            value and stays below; None if it does not within the length looked at.
        rate: r of the ``r^k`` that fits the second half of the curve best; None for too few steps.
        reach: the distance within which 90 percent of the curve's sum lie.
    """

    half_life: float | None
    rate: float | None
    reach: float | None


def memory_of(curve: Curve) -> Memory:
    """The numbers of one curve.

    >>> memory = memory_of([(k, 0.5**k) for k in range(1, 30)])
    >>> round(memory.half_life, 6), round(memory.rate, 6), round(memory.reach, 1)
    (1.0, 0.5, 3.4)
    """
    return Memory(half_life(curve), rate(curve), reach(curve))


def half_life(curve: Curve) -> float | None:
    """See ``Memory``; between two distances the curve is taken to fall at one rate."""
    if not curve or not curve[0][1] > 0:
        return None
    first, goal = curve[0][0], curve[0][1] / 2
    above = [i for i, (_, value) in enumerate(curve) if value > goal]
    last = above[-1] if above else 0
    if last + 1 == len(curve):
        return None
    (k, high), (after, low) = curve[last], curve[last + 1]
    if not low > 0:
        return float(after - first)
    share = math.log(high / goal) / math.log(high / low)
    return k - first + share * (after - k)


def rate(curve: Curve) -> float | None:
    """See ``Memory``: least squares on the logarithms."""
    points = [(k, math.log(value)) for k, value in curve if value > 0]
    half = [point for point in points if points and point[0] >= points[-1][0] / 2]
    if len(half) < 2:
        return None
    slope = np.polyfit([k for k, _ in half], [value for _, value in half], 1)[0]
    return math.exp(float(slope))


def reach(curve: Curve) -> float | None:
    """See ``Memory``; between two distances the curve is taken to be straight."""
    total, sums = 0.0, []
    previous = (curve[0][0] - 1, curve[0][1]) if curve else (0, 0.0)
    for point in curve:
        width = point[0] - previous[0]
        # of the values at previous+1 .. point, on the line between the two
        total += width * (point[1] + previous[1]) / 2 + (point[1] - previous[1]) / 2
        sums.append((point[0], total))
        previous = point
    if not total > 0 or not math.isfinite(total):
        return None
    goal = _SHARE * total
    for (k, before), (after, value) in pairwise([(curve[0][0] - 1, 0.0), *sums]):
        if value >= goal:
            return k + (after - k) * (goal - before) / (value - before)
    return float(curve[-1][0])


def mean_curve(curves: Iterable[Curve]) -> list[tuple[int, float]]:
    """The mean at each distance, over those curves that reach it."""
    found: dict[int, list[float]] = {}
    for curve in curves:
        for k, value in curve:
            found.setdefault(k, []).append(value)
    return [(k, sum(values) / len(values)) for k, values in sorted(found.items())]
