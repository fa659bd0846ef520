"""Who is better than whom, how sure that is, and what would decide what is undecided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from seqlab.comparison.statistics import (
    Estimate,
    Values,
    holm,
    rows_needed,
    seeds_needed,
    sign_permutation,
)

Scores = Mapping[str, tuple[Values, Values]]


def own_interval(scores: tuple[Values, Values], mode: str, level: float) -> dict[str, Any]:
    """The mean of one contestant over its seeds, with its interval.

    A metric of which more is better stays between 0 and 1 where its values do, and no error goes
    below 0: a few seeds must not make an interval say so.

    Args:
        scores: values ``[S]`` and values on other draws of the test rows ``[S, R]``.
        mode: ``max`` where more is better, or ``min``.
        level: how often the true mean may lie outside.
    """
    found, (values, _) = Estimate.of(*scores), scores
    interval = found.interval(level)
    if interval is None:
        return {"mean": found.mean, "low": None, "high": None}
    low, high = interval
    if mode == "max" and values.min() >= 0 and values.max() <= 1:
        low, high = max(low, 0.0), min(high, 1.0)
    elif mode == "min" and values.min() >= 0:
        low = max(low, 0.0)
    return {"mean": found.mean, "low": low, "high": high}


def judge(scores: Scores, mode: str, level: float, rows: int) -> list[dict[str, Any]]:
    """Every pair of contestants, as it stands in ``compare.json``.

    Args:
        scores: name to values ``[S]`` and ``[S, R]``, of the same seeds and draws.
        mode: ``max`` where more is better, or ``min``.
        level: the chance of any false verdict among all pairs.
        rows: test rows there are.
    """
    found = [_Pair(a, b, scores, mode) for a, b in combinations(scores, 2)]
    tests = holm([pair.estimate.p_value for pair in found], level)
    return [pair.content(*test, rows) for pair, test in zip(found, tests, strict=True)]


class _Pair:
    """Two contestants: the differences of their runs, seed by seed."""

    def __init__(self, a: str, b: str, scores: Scores, mode: str) -> None:
        self.a, self.b = a, b
        self.means = float(scores[a][0].mean()), float(scores[b][0].mean())
        self.mode, self.sign = mode, 1 if mode == "max" else -1
        values, resampled = (x - y for x, y in zip(scores[a], scores[b], strict=True))
        self.values: Values = values
        self.estimate = Estimate.of(values, resampled)

    def content(self, level: float, decided: bool, rows: int) -> dict[str, Any]:
        """What ``compare.json`` says, of a test at this level."""
        estimate, sign = self.estimate, self.sign
        below, fresh = estimate.below(0.0), estimate.fresh_pair
        low, high = estimate.interval(level) or (None, None)
        better = "a" if sign * estimate.mean > 0 else "b"
        pair = {
            "a": self.a,
            "b": self.b,
            "difference": estimate.mean,
            "low": low,
            "high": high,
            "probability_a_better": 1 - below if sign > 0 else below,
            "verdict": better if decided else "undecided",
            "p_value": estimate.p_value,
            "level": level,
            "permutation_p_value": sign_permutation(self.values),
            "seeds_a_better": int(np.sum(sign * self.values > 0)),
            "fresh_run_a_better": fresh if sign > 0 else 1 - fresh,
            "error_change": _error_change(*self.means, self.mode),
        }
        if not decided:
            needed = seeds_needed(estimate, level)
            pair["more_seeds"] = None if needed is None else needed - estimate.count
            pair["rows_needed"] = None if needed else rows_needed(estimate, level, rows)
        return pair


def _error_change(a: float, b: float, mode: str) -> float | None:
    """By what share a errs more than b (below 0: less); None where nobody can say what an error is.

    >>> round(_error_change(0.95, 0.90, "max"), 6), _error_change(2.0, 4.0, "min")
    (-0.5, -0.5)
    """
    if mode == "max":
        if not (0 <= a <= 1 and 0 <= b < 1):
            return None
        a, b = 1 - a, 1 - b
    return a / b - 1 if b > 0 and a >= 0 else None


def sentence(pairs: Sequence[Mapping[str, Any]], metric: str, seeds: int, rows: int) -> str:
    """The verdicts of all pairs in words."""
    basis = f"{seeds} seed{'s' * (seeds != 1)}, {rows:,} test rows"
    return " ".join([*map(pair_sentence, pairs), f"({metric}; {basis})"]) if pairs else ""


def pair_sentence(pair: Mapping[str, Any]) -> str:
    """The verdict of one pair in words."""
    a, b = pair["a"], pair["b"]
    if pair["low"] is None:
        return f"{a} against {b} is undecided: one seed says nothing of others."
    within = f"{_number(pair['low'])} to {_number(pair['high'])}"
    if pair["verdict"] == "undecided":
        return f"{a} against {b} is undecided (difference {within}); {_what_decides(pair)}."
    better, other = (a, b) if pair["verdict"] == "a" else (b, a)
    fresh = pair["fresh_run_a_better"]
    fresh = fresh if pair["verdict"] == "a" else 1 - fresh
    return (
        f"{better} is better than {other}: a difference of {_number(pair['difference'])} "
        f"({within}){_in_errors(pair)}; a single new run of it is better in about "
        f"{min(99, max(1, round(100 * fresh)))} of 100 cases."
    )


def _in_errors(pair: Mapping[str, Any]) -> str:
    change = pair["error_change"]
    if change is None:
        return ""
    if pair["verdict"] == "b":
        change = 1 / (1 + change) - 1 if change > -1 else None
    return "" if change is None or change > 0 else f", {-change:.0%} less error"


def _what_decides(pair: Mapping[str, Any]) -> str:
    if pair["more_seeds"]:
        plural = "s" * (pair["more_seeds"] != 1)
        return f"about {pair['more_seeds']:,} more seed{plural} would be needed"
    if pair["rows_needed"]:
        return (
            "more seeds alone cannot decide it: the test rows are too few, "
            f"at least {pair['rows_needed']:,} would be needed"
        )
    return "a difference as small as the one seen would take more than a thousand seeds"


def _number(value: float) -> str:
    """A difference with its sign.

    >>> _number(0.01234), _number(-0.5)
    ('+0.0123', '-0.5')
    """
    return f"{value:+.3g}"
