"""Metrics of numbers and forecasts against scikit-learn and their formulas."""

import numpy as np
import pytest
import torch
from seqlab import registry
from seqlab.errors import DataError, OptionError
from seqlab.heads.metrics import Outcome
from seqlab.training.naive_forecasts import a_season_ago
from seqlab.types import TargetInfo

from sklearn import metrics as sk

TARGET = TargetInfo("horizon", 2, steps=3)
LEVELS = (0.1, 0.5, 0.9)


def outcome(rows=5):
    generator = torch.Generator().manual_seed(4)
    gold = 10 + torch.randn(rows, 3, 2, generator=generator)
    answer = gold + torch.randn(rows, 3, 2, generator=generator)
    around = torch.tensor([-0.8, 0.0, 0.6])
    gold[1, 2, 0] = float("nan")
    context = 10 + torch.randn(rows, 6, 2, generator=generator)
    context[2, 4:] = float("nan")
    return Outcome(
        answer, gold, quantiles=answer.unsqueeze(-1) + around, levels=LEVELS, context=context
    )


def value(name, given, target=TARGET, **options):
    metric = registry.get("metric", name)(target, **options)
    for rows in (slice(0, 2), slice(2, None)):
        parts = {
            field: part[rows] if isinstance(part, torch.Tensor) else part
            for field, part in given._asdict().items()
        }
        metric.update(Outcome(**parts))
    return float(metric.compute())


def known(given):
    there = ~given.gold.isnan()
    return given.gold[there].numpy(), given.answer[there].numpy(), there


def test_errors_are_scikit_learns_over_known_numbers():
    given = outcome()
    gold, answer, _ = known(given)
    assert value("mae", given) == pytest.approx(sk.mean_absolute_error(gold, answer), rel=1e-5)
    rmse = sk.mean_squared_error(gold, answer) ** 0.5
    assert value("rmse", given) == pytest.approx(rmse, rel=1e-5)
    smape = np.mean(2 * np.abs(gold - answer) / (np.abs(gold) + np.abs(answer)))
    assert value("smape", given) == pytest.approx(smape, rel=1e-5)
    r2 = [
        sk.r2_score(given.gold[..., c][there].numpy(), given.answer[..., c][there].numpy())
        for c in range(2)
        for there in [~given.gold[..., c].isnan()]
    ]
    assert value("r2", given) == pytest.approx(np.mean(r2), rel=1e-4)


def test_quantiles_cost_what_scikit_learn_says():
    given = outcome()
    gold, answer, there = known(given)
    costs = [
        sk.mean_pinball_loss(gold, given.quantiles[..., place][there].numpy(), alpha=level)
        for place, level in enumerate(LEVELS)
    ]
    assert value("pinball", given) == pytest.approx(np.mean(costs), rel=1e-5)
    low, high = given.quantiles[..., 0][there].numpy(), given.quantiles[..., -1][there].numpy()
    assert value("coverage", given) == pytest.approx(np.mean((low <= gold) & (gold <= high)))
    plain = given._replace(quantiles=None, levels=())
    half = sk.mean_absolute_error(gold, answer) / 2
    assert value("pinball", plain) == pytest.approx(half, rel=1e-5)


@pytest.mark.parametrize("season", [1, 2])
def test_mase_is_its_formula(season):
    given = outcome()
    errors = []
    for row in range(5):
        steps = 4 if row == 2 else 6
        x = given.context[row, :steps].double().numpy()
        scale = np.abs(x[season:] - x[:-season]).mean(0)
        errors.append((given.gold[row] - given.answer[row]).abs().double().numpy() / scale)
    assert value("mase", given, season=season) == pytest.approx(np.nanmean(errors), rel=1e-6)


def test_a_naive_forecast_of_a_repeated_season_has_mase_one():
    """Where each step of the future has the same naive error as the past."""
    context = torch.tensor([[[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]]])
    answer = a_season_ago(context, torch.tensor([6]), 2, 2)
    assert answer.flatten().tolist() == [4.0, 5.0]
    given = Outcome(answer, torch.tensor([[[6.0], [7.0]]]), context=context)
    metric = registry.get("metric", "mase")(TargetInfo("horizon", 1, steps=2), season=2)
    metric.update(given)
    assert float(metric.compute()) == 1.0


def test_mase_names_a_row_without_a_scale():
    given = outcome()
    given.context[3] = 7.0
    with pytest.raises(
        DataError, match="row 2 of the batch: mase has no scale: its context is con"
    ):
        value("mase", given)
    with pytest.raises(DataError, match="mase has no scale: 6 steps are not more than a season of"):
        value("mase", outcome(), season=6)
    with pytest.raises(DataError, match=r"mase needs the steps before; say by data\.target\.feat"):
        value("mase", given._replace(context=None))
    with pytest.raises(OptionError, match="measures targets of kind 'horizon'"):
        registry.get("metric", "mase")(TargetInfo("values", 1))
