"""Losses of numbers and distributions against closed forms, for every head that takes them."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from seqlab.errors import DataError
from seqlab.heads.forecast import ForecastHead
from seqlab.heads.negative_binomial import cumulative, log_probability, quantile
from seqlab.heads.numbers_head import make_loss
from seqlab.heads.regression import RegressionHead
from seqlab.heads.regression_losses import Units
from seqlab.types import Batch, Encoded, EncoderInfo, TargetInfo, TargetStatistics

LEVELS = (0.05, 0.5, 0.8)
CENTER, SCALE = 10.0, 4.0
COUNTS = torch.tensor([[3.0], [0.0], [25.0], [11.0]], dtype=torch.float64)


def units():
    center, scale = (torch.tensor([x], dtype=torch.float64) for x in (CENTER, SCALE))
    return Units(center, scale)


def outputs(parameters, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 1, parameters, generator=generator, dtype=torch.float64)


def softplus(x):
    return np.log1p(np.exp(x))


def test_quantiles_cost_what_scikit_learn_says_and_never_cross():
    from sklearn.metrics import mean_pinball_loss

    loss = make_loss("quantile", None, LEVELS)
    z = 5 * outputs(3)
    found = loss.quantiles(z, units()).squeeze(1).numpy()
    assert (np.diff(found, axis=1) > 0).all()
    goal = COUNTS.squeeze(1).numpy()
    costs = [
        mean_pinball_loss(goal, found[:, place], alpha=level) / SCALE
        for place, level in enumerate(LEVELS)
    ]
    assert float(loss.cost(z, COUNTS, units()).mean()) == pytest.approx(np.mean(costs))
    assert loss.value(z, units()).tolist() == pytest.approx(found[:, 1:2])


def test_a_gaussian_is_scipys():
    loss = make_loss("gaussian", None, LEVELS)
    z = outputs(2)
    mean = z[..., 0].numpy() * SCALE + CENTER
    deviation = (softplus(z[..., 1].numpy()) + 1e-3) * SCALE
    reference = stats.norm(mean, deviation)
    # the density of the scaled goal
    wanted = -reference.logpdf(COUNTS.numpy()) - math.log(SCALE)
    torch.testing.assert_close(loss.cost(z, COUNTS, units()), torch.from_numpy(wanted))
    quantiles = np.stack([reference.ppf(level) for level in LEVELS], -1)
    torch.testing.assert_close(loss.quantiles(z, units()), torch.from_numpy(quantiles))
    assert loss.value(z, units()).tolist() == pytest.approx(mean)


def scipys(mean, dispersion):
    r = 1 / dispersion
    return stats.nbinom(r, r / (r + mean))


def test_a_negative_binomial_is_scipys():
    loss = make_loss("negative_binomial", None, LEVELS)
    z = outputs(2)
    mean = SCALE * softplus(CENTER / SCALE + z[..., 0].numpy())
    reference = scipys(mean, softplus(z[..., 1].numpy()))
    wanted = -reference.logpmf(COUNTS.numpy())
    torch.testing.assert_close(loss.cost(z, COUNTS, units()), torch.from_numpy(wanted))
    quantiles = np.stack([reference.ppf(level) for level in LEVELS], -1)
    assert loss.quantiles(z, units()).tolist() == quantiles.tolist()
    assert loss.value(z, units()).tolist() == pytest.approx(mean)


@pytest.mark.parametrize(
    ("mean", "dispersion"), [(1, 1), (0.01, 5), (3.5, 0.2), (60, 1e-6), (5e3, 0.01), (1e5, 2)]
)
def test_counts_of_any_size(mean, dispersion):
    m, a = (torch.tensor(float(x), dtype=torch.float64) for x in (mean, dispersion))
    reference = scipys(mean, dispersion)
    levels = (0.01, 0.1, 0.5, 0.9, 0.99)
    assert quantile(m, a, levels).tolist() == reference.ppf(levels).tolist()
    for count in {0, 1, round(mean), round(2 * mean)}:
        k = torch.tensor(float(count), dtype=torch.float64)
        assert float(cumulative(k, m, a)) == pytest.approx(reference.cdf(count), rel=1e-7)
        # near Poisson the gamma functions of large numbers cancel
        log_p = float(log_probability(k, m, a))
        assert log_p == pytest.approx(reference.logpmf(count), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("mean", [1e6, 1e9, 1e12])
@pytest.mark.parametrize("dispersion", [1e-6, 0.3, 1.0, 10.0, 100.0])
def test_quantiles_of_millions_are_right_to_the_last_digits(mean, dispersion):
    m, a = (torch.tensor(x, dtype=torch.float64) for x in (mean, dispersion))
    levels = (0.01, 0.1, 0.5, 0.9, 0.99)
    found = quantile(m, a, levels).numpy()
    expected = scipys(mean, dispersion).ppf(levels)
    if dispersion == 1.0:  # geometric: 1 - P(K <= k) = (m / (1 + m))^(k + 1)
        expected = np.ceil(np.log1p(-np.array(levels)) / -np.log1p(1 / mean)) - 1
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1)


def test_beside_a_poisson_distribution_the_digits_are_kept():
    m, a = (torch.tensor(x, dtype=torch.float64) for x in (1e3, 1e-17))
    levels = (0.01, 0.5, 0.99)
    assert quantile(m, a, levels).tolist() == stats.poisson(1e3).ppf(levels).tolist()


@pytest.mark.parametrize("name", ["quantile", "gaussian", "negative_binomial", "huber", "absolute"])
def test_gradients_are_finite_differences(name):
    loss = make_loss(name, None, None)
    z = outputs(loss.parameters, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss.cost(x, COUNTS, units()), z)


def encoded(steps=3, rows=4):
    generator = torch.Generator().manual_seed(1)
    output = torch.randn(rows, steps, 5, generator=generator)
    mask = torch.ones(rows, steps, dtype=torch.bool)
    mask[1, 2:] = False
    return Encoded(output, (), output[:, -1], mask.sum(1), mask, (5,))


TARGETS = {
    "values": (4, 1),
    "step_values": (4, 3, 1),
    "horizon": (4, 2, 1),
}


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("name", ["quantile", "gaussian", "negative_binomial"])
def test_heads_take_them_by_row_by_step_and_ahead(kind, name):
    statistics = TargetStatistics(mean=(CENTER,), std=(SCALE,))
    target = TargetInfo(kind, 1, steps=2, statistics=statistics)
    build = ForecastHead if kind == "horizon" else RegressionHead
    head = build(EncoderInfo(5, 5, (5,)), target, loss=name, quantiles=LEVELS).eval()
    goal = torch.arange(math.prod(TARGETS[kind])).reshape(TARGETS[kind]).float()
    given = encoded()
    batch = Batch({}, given.lengths, goal)
    z = head.outputs(given)
    costs = head.cost.cost(z, goal, head.units(given))
    if kind == "step_values":
        costs = costs[given.mask]
    assert float(head.loss(given, batch).detach()) == pytest.approx(float(costs.mean().detach()))
    metrics = head.metrics()
    head.measure(metrics, given, batch)
    assert {"pinball", "coverage"} <= set(metrics)
    assert head.monitor == ("pinball", "min")
    answers = head.predict(given)
    flat = np.ravel(
        [np.ravel(a["quantiles"]["0.05"]) <= np.ravel(a["quantiles"]["0.8"]) for a in answers[:1]]
    )
    assert flat.all()
    if kind == "step_values":
        assert [len(a["values"]) for a in answers] == [3, 2, 3, 3]
    goal[2] = -1.0
    if name == "negative_binomial":
        assert head.refusal(batch)[0] == 2
        with pytest.raises(DataError, match="row 3 of the batch: the loss takes a count"):
            head.loss(given, batch)
    else:
        assert head.refusal(batch) is None
