import pytest
from seqlab.microscope.memory import half_life, mean_curve, memory_of, rate, reach


def curve(ratio, ks=range(1, 41)):
    return [(k, 3 * ratio**k) for k in ks]


@pytest.mark.parametrize("ratio", [0.5, 0.8, 0.93])
def test_a_geometric_curve_has_the_half_life_of_its_ratio(ratio):
    import math

    found = memory_of(curve(ratio, [1, 2, 3, 5, 8, 13, 21, 34]))
    assert found.rate == pytest.approx(ratio)
    assert found.half_life == pytest.approx(math.log(0.5) / math.log(ratio))


def test_a_curve_that_stays_up_has_no_half_life():
    assert half_life(curve(1.0)) is None
    assert rate(curve(1.0)) == pytest.approx(1.0)
    assert half_life([]) is None
    assert rate([(1, 0.0), (2, 0.0)]) is None
    assert reach([]) is None


def test_a_curve_that_returns_counts_from_its_last_fall():
    assert half_life([(1, 1.0), (2, 0.1), (3, 1.0), (4, 0.25)]) == pytest.approx(2.5)
    assert half_life([(1, 1.0), (2, 0.0)]) == 1.0


def test_reach_holds_nine_tenths():
    values = curve(0.8)
    total, sums = sum(v for _, v in values), 0.0
    for k, value in values:
        sums += value
        if sums >= 0.9 * total:
            assert k - 1.5 < reach(values) <= k + 0.5
            break


def test_mean_of_curves_of_different_length():
    assert mean_curve([[(1, 2.0), (2, 4.0)], [(1, 4.0)]]) == [(1, 3.0), (2, 4.0)]
