"""The statistics against arithmetic by hand, and against what simulated contestants really are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from seqlab.comparison.statistics import (
    Estimate,
    holm,
    row_weights,
    rows_needed,
    seeds_needed,
    sign_permutation,
)
from seqlab.comparison.verdicts import judge, own_interval, pair_sentence

ROWS, DRAWS = 200, 400
WEIGHTS = row_weights(ROWS, DRAWS) / ROWS


def simulate(draw, seeds, advantages, spread=(0.7, 0.5, 0.2)):
    """Right or wrong answers of contestants to the same rows, as values ``[S]`` and ``[S, R]``.

    Rows differ in difficulty, for all and for each contestant alone; so do seeds; and each run
    differs on each row.
    """
    on_rows, on_runs, on_seeds = spread
    difficulty = draw.normal(0.8, 1.5, ROWS)
    scores = {}
    for number, advantage in enumerate(advantages):
        own = difficulty + draw.normal(0, on_rows, ROWS) + advantage
        runs = own + draw.normal(0, on_seeds, (seeds, 1)) + draw.normal(0, on_runs, (seeds, ROWS))
        right = (runs > 0).astype(float)
        scores[str(number)] = right.mean(axis=1), right @ WEIGHTS.T
    return scores


def alarms(comparisons, seeds, contestants=3, **spread):
    draw = np.random.default_rng(17 + seeds)
    found = [
        judge(simulate(draw, seeds, [0.0] * contestants, **spread), "max", 0.05, ROWS)
        for _ in range(comparisons)
    ]
    return sum(any(pair["verdict"] != "undecided" for pair in pairs) for pairs in found)


def test_without_rows_that_matter_it_is_the_t_test():
    values = np.array([0.1, 0.3, 0.2, 0.6])
    found = Estimate.of(values, np.repeat(values[:, None], 7, axis=1))
    test = stats.ttest_1samp(values, 0)
    assert found.p_value == pytest.approx(test.pvalue)
    assert found.interval(0.05) == pytest.approx(tuple(test.confidence_interval(0.95)))


def test_rows_that_all_seeds_share_are_not_averaged_away():
    """The variances of a two-way table with one value a cell, by hand."""
    draw = np.random.default_rng(3)
    table = draw.normal(0, 0.3, 4000) + draw.normal(0, 1, (6, 4000))
    weights = row_weights(500, 2000) / 500
    blocks = table.reshape(6, 500, 8).mean(axis=2)
    found = Estimate.of(blocks.mean(axis=1), blocks @ weights.T)
    assert found.rows.std() == pytest.approx(0.3 / np.sqrt(4000), rel=0.35)
    own, seen = 1 / 4000, blocks.mean(axis=1).var(ddof=1)
    assert found.seeds**2 * 6 == pytest.approx(max(own / 4, seen), rel=0.2)


def test_seeds_that_are_equal_by_chance_prove_nothing():
    """Two runs that each are two rows ahead of their pair, of a hundred that differ by chance."""
    draw = np.random.default_rng(1)
    rows = np.stack([draw.permutation([1] * 21 + [-1] * 19 + [0] * 60) for _ in range(2)])
    found = Estimate.of(rows.mean(axis=1), rows @ row_weights(100).T / 100)
    assert rows.mean(axis=1).std() == 0
    assert found.p_value > 0.3


def test_an_interval_has_zero_outside_just_when_the_p_value_is_small():
    draw = np.random.default_rng(5)
    for advantage in np.linspace(0, 0.6, 13):
        for pair in judge(simulate(draw, 4, [advantage, 0.0, 0.1]), "max", 0.05, ROWS):
            decided = pair["low"] > 0 or pair["high"] < 0
            assert decided == (pair["verdict"] != "undecided")


def test_an_error_rate_is_better_when_it_is_smaller():
    scores = simulate(np.random.default_rng(2), 5, [1.5, 0.0])
    errors = {name: (1 - values, 1 - drawn) for name, (values, drawn) in scores.items()}
    (more,), (less,) = judge(scores, "max", 0.05, ROWS), judge(errors, "min", 0.05, ROWS)
    assert more["verdict"] == less["verdict"] == "a"
    assert more["difference"] == pytest.approx(-less["difference"])
    for key in ("probability_a_better", "fresh_run_a_better", "error_change", "seeds_a_better"):
        assert more[key] == pytest.approx(less[key])
    assert "0 is better than 1" in pair_sentence(more)


def test_one_seed_decides_nothing():
    scores = simulate(np.random.default_rng(2), 1, [3.0, 0.0])
    (pair,) = judge(scores, "max", 0.05, ROWS)
    assert (pair["verdict"], pair["low"], pair["probability_a_better"]) == ("undecided", None, 0.5)
    assert "one seed" in pair_sentence(pair)


def test_equal_contestants_are_undecided_without_a_warning():
    runs = simulate(np.random.default_rng(2), 3, [0.0])["0"]
    (pair,) = judge({"a": runs, "b": runs}, "max", 0.05, ROWS)
    assert (pair["verdict"], pair["difference"], pair["p_value"]) == ("undecided", 0, 1)


def test_no_difference_by_chance_is_not_said_to_be_a_small_one():
    """Means over few rows are often equal; the interval still allows a large difference."""
    drawn = np.zeros((3, 10))
    scores = {"a": (np.array([0.7, 0.5, 0.6]), drawn), "b": (np.array([0.6, 0.6, 0.6]), drawn)}
    (pair,) = judge(scores, "max", 0.05, ROWS)
    assert pair["difference"] == pytest.approx(0, abs=1e-12)
    assert pair["high"] > 0.2
    assert pair_sentence({**pair, "more_seeds": None, "rows_needed": None}).endswith(
        "; a difference as small as the one seen would take more than a thousand seeds."
    )


def test_the_permutation_test_counts_all_exchanges():
    values = np.array([0.3, 0.1, -0.2, 0.4])
    signs = np.array(np.meshgrid(*[[1, -1]] * 4)).reshape(4, -1)
    means = np.abs((signs * values[:, None]).mean(axis=0))
    assert sign_permutation(values) == pytest.approx(np.mean(means >= abs(values.mean()) - 1e-12))


def test_holm_by_hand():
    assert holm([0.02, 0.01, 0.04], 0.05) == [
        (0.025, True), (pytest.approx(0.05 / 3), True), (0.05, True),
    ]  # fmt: skip
    assert holm([], 0.05) == []


def test_so_many_seeds_do_decide():
    """With the number of seeds that is asked for, four of five comparisons find the difference."""
    draw = np.random.default_rng(11)
    one_seed, difference, level = 0.02, 0.01, 0.05
    first = Estimate(difference, np.zeros(1), one_seed / np.sqrt(3), 3)
    count = seeds_needed(first, level)
    values = draw.normal(difference, one_seed, (2000, count))
    found = np.mean(stats.ttest_1samp(values, 0, axis=1).pvalue <= level)
    assert found == pytest.approx(0.8, abs=0.04)


def test_rows_that_are_too_few_are_said_to_be():
    found = Estimate(0.01, np.random.default_rng(0).normal(0, 0.02, 2000), 0.001, 5)
    assert seeds_needed(found, 0.05) is None
    assert rows_needed(found, 0.05, 100) == pytest.approx(100 * (2.8 * 2) ** 2, rel=0.1)


def test_few_false_alarms():
    assert alarms(120, 3) <= stats.binom.ppf(0.999, 120, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("spread", [(0.7, 0.5, 0.2), (0.0, 0.5, 0.0), (1.0, 0.0, 0.02)])
def test_false_alarms_are_at_most_the_level(seeds, spread):
    found = alarms(1000, seeds, spread=spread)
    print(f"{seeds} seeds, spread {spread}: {found} of 1000")  # noqa: T201
    assert found <= stats.binom.ppf(0.99, 1000, 0.05)


@pytest.mark.slow
def test_real_differences_are_found():
    draw, share = np.random.default_rng(4), {}
    for advantage in (0.3, 0.8, 1.5):
        found = [judge(simulate(draw, 5, [advantage, 0.0]), "max", 0.05, ROWS) for _ in range(300)]
        assert not any(pair["verdict"] == "b" for (pair,) in found)
        share[advantage] = np.mean([pair["verdict"] == "a" for (pair,) in found])
    print(share)  # noqa: T201
    assert share[0.3] < share[0.8] < share[1.5]
    assert share[1.5] > 0.95


@pytest.mark.slow
def test_probabilities_are_as_often_right_as_they_say():
    """Over effects of all sizes, of those said to be better with 0.8 about 0.8 are."""
    draw, said, true = np.random.default_rng(8), [], []
    for _ in range(3000):
        advantage = draw.normal(0, 1.0)
        (pair,) = judge(simulate(draw, 5, [advantage, 0.0]), "max", 0.05, ROWS)
        said.append(pair["probability_a_better"])
        true.append(advantage > 0)
    said, true = np.array(said), np.array(true)
    for low in np.arange(0, 1, 0.2):
        inside = (said >= low) & (said < low + 0.2)
        print(f"{low:.1f}: said {said[inside].mean():.3f}, true {true[inside].mean():.3f}")  # noqa: T201
        assert true[inside].mean() == pytest.approx(said[inside].mean(), abs=0.08)


@pytest.mark.parametrize(
    ("values", "mode", "low", "high"),
    [
        ([0.01, 0.0, 0.08], "max", 0.0, None),
        ([0.99, 1.0, 0.92], "max", None, 1.0),
        ([0.01, 0.0, 0.08], "min", 0.0, None),
        ([3.0, 30.0, 40.0], "max", None, None),
    ],
)
def test_an_interval_stays_where_the_metric_does(values, mode, low, high):
    values = np.array(values)
    found = own_interval((values, np.repeat(values[:, None], 20, axis=1)), mode, 0.05)
    assert found["low"] < values.mean() < found["high"]
    if low is not None:
        assert found["low"] == low
    if high is not None:
        assert found["high"] == high
    if low is None and high is None:
        assert found["low"] < 0
        assert found["high"] > 1
