"""Temperatures, calibration errors and reliability, against plain loops and a grid."""

from __future__ import annotations

import pytest
import torch
from heads_helpers import make_model
from seqlab.errors import OptionError
from seqlab.heads.calibration import BINS, calibration_error, fit_temperature, reliability
from seqlab.types import Batch, TargetInfo


def drawn(temperature, rows=4000, seed=0):
    """Scores, and classes drawn from their softmax at a temperature."""
    generator = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(rows, 4, generator=generator, dtype=torch.float64)
    p = (scores / temperature).softmax(1)
    return scores, torch.multinomial(p, 1, generator=generator).squeeze(1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_has_the_least_loss_of_all(temperature):
    scores, gold = drawn(temperature)
    found = fit_temperature(scores, gold)
    assert found == pytest.approx(temperature, rel=0.1)
    loss = [float(torch.nn.functional.cross_entropy(scores / t, gold)) for t in
            (found, found * 0.99, found * 1.01, temperature, 0.1, 10.0)]  # fmt: skip
    assert min(loss) == loss[0]
    before, after = (
        calibration_error((scores / t).softmax(1), gold) for t in (temperature * 3, found)
    )
    assert after < 0.03 < before


def test_temperatures_stay_in_their_bounds():
    scores = torch.tensor([[0.5, 0.0], [0.0, 0.5]])
    assert fit_temperature(scores, torch.tensor([1, 0])) == pytest.approx(20.0, rel=1e-6)
    many = torch.tensor([[0.5, 0.0]] * 40000 + [[0.001, 0.0]])
    gold = torch.tensor([0] * 40000 + [1])
    assert fit_temperature(many, gold) == pytest.approx(0.05, rel=1e-6)


def test_where_all_is_right_no_temperature_fits():
    scores = torch.tensor([[0.5, 0.0], [0.0, 0.5]])
    assert fit_temperature(scores, torch.tensor([0, 1])) == 1.0
    assert fit_temperature(scores[:0], torch.tensor([], dtype=torch.long)) == 1.0


def test_error_and_bins_against_a_loop():
    scores, gold = drawn(2.0, rows=300, seed=3)
    p = scores.softmax(1)
    found, error = [], 0.0
    for index in range(BINS):
        here = [
            row for row in range(300)
            if index == min(int(float(p[row].max()) * BINS), BINS - 1)
        ]  # fmt: skip
        if here:
            sure = sum(float(p[row].max()) for row in here) / len(here)
            right = sum(int(p[row].argmax() == gold[row]) for row in here) / len(here)
            found.append({"confidence": sure, "accuracy": right, "rows": len(here)})
            error += len(here) / 300 * abs(sure - right)
    ours = reliability(p, gold)
    assert [b["rows"] for b in ours] == [b["rows"] for b in found]
    for one, two in zip(ours, found, strict=True):
        assert one == pytest.approx(two, abs=1e-5)
    assert calibration_error(p, gold) == pytest.approx(error, abs=1e-5)


def test_a_temperature_changes_no_answer_but_how_sure_it_is(asymmetric):
    target = TargetInfo("label", 3, ("a", "b", "c"))
    plain, warm = (
        asymmetric(make_model({"name": "classification", "temperature": t}, target)).double().eval()
        for t in (1.0, 4.0)
    )
    inputs = {"text": torch.tensor([[1, 2, 3], [4, 5, 6]]), "pitch": torch.zeros(2, 3, 2)}
    batch = Batch(inputs, torch.tensor([3, 2]), torch.tensor([0, 2]))
    one, two = plain.predict(batch), warm.predict(batch)
    assert [a["label"] for a in one] == [a["label"] for a in two]
    for a, b in zip(one, two, strict=True):
        expected = torch.tensor(a["scores"]).log().div(4).softmax(0)
        torch.testing.assert_close(torch.tensor(b["scores"]), expected)
    assert "calibration_error" not in plain.metrics()
    assert "calibration_error" in warm.metrics()
    chosen = make_model(
        {"name": "classification", "temperature": 2.0, "metrics": ["calibration_error"]}, target
    )
    assert "calibration_error" in chosen.metrics()


def test_temperatures_that_do_not_fit():
    with pytest.raises(OptionError, match="it calibrates one label a row"):
        make_model({"name": "classification", "temperature": "fitted"}, TargetInfo("labels", 3))
    with pytest.raises(OptionError, match=r"temperature: expected .*'fitted'.* got 0"):
        make_model({"name": "classification", "temperature": 0.0}, TargetInfo("label", 3))
