"""Regression: values against closed forms, units, and whole runs."""

import json

import pytest
import seqlab
import torch
import torch.nn.functional as F
from heads_helpers import make_inputs, make_model
from seqlab.cli import main
from seqlab.errors import EngineError, OptionError
from seqlab.types import Batch, TargetInfo, TargetStatistics

TARGET = TargetInfo("values", 2, statistics=TargetStatistics(mean=(10.0, -1.0), std=(4.0, 0.5)))
GOAL = torch.tensor([[12.0, -1.0], [6.0, -1.5], [10.0, 0.0]])


def build(asymmetric, target=TARGET, **options):
    model = make_model({"name": "regression", **options}, target)
    return asymmetric(model).double().eval()


def make_batch(**more):
    inputs, lengths = make_inputs([4, 2, 1], **more)
    return Batch(inputs, lengths, GOAL)


def standardised(model, batch):
    values = torch.tensor([row["values"] for row in model.predict(batch)], dtype=torch.float64)
    mean, std = torch.tensor(TARGET.statistics.mean), torch.tensor(TARGET.statistics.std)
    return (values - mean) / std, (GOAL.double() - mean) / std


@pytest.mark.parametrize(
    ("options", "reference"),
    [
        ({}, F.mse_loss),
        ({"loss": "absolute"}, F.l1_loss),
        ({"loss": "huber"}, F.huber_loss),
        ({"loss": "huber", "delta": 0.3}, lambda y, goal: F.huber_loss(y, goal, delta=0.3)),
    ],
)
def test_losses_are_torchs_on_standardised_targets(asymmetric, options, reference):
    model, batch = build(asymmetric, **options), make_batch()
    torch.testing.assert_close(model.loss(batch), reference(*standardised(model, batch)))


def test_metrics_are_in_the_targets_own_units(asymmetric):
    model, batch = build(asymmetric), make_batch()
    values = torch.tensor([row["values"] for row in model.predict(batch)], dtype=torch.float64)
    metrics = model.metrics()
    torch.testing.assert_close(model.measure(metrics, batch), model.loss(batch))
    goal = GOAL.double()
    assert float(metrics["mae"].compute()) == pytest.approx(float(F.l1_loss(values, goal)), 1e-5)
    rmse = float(F.mse_loss(values, goal).sqrt())
    assert float(metrics["rmse"].compute()) == pytest.approx(rmse, 1e-5)
    spread = ((goal - goal.mean(0)) ** 2).sum(0)
    r2 = (1 - ((values - goal) ** 2).sum(0) / spread).mean()
    assert float(metrics["r2"].compute()) == pytest.approx(float(r2))


def test_padding_does_not_matter(asymmetric):
    model = build(asymmetric, pooling=["last", "max", "mean"])
    torch.testing.assert_close(model.loss(make_batch()), model.loss(make_batch(poison=True)))


def test_units_do_not_matter(asymmetric):
    """A target in other units gives the same loss, and answers in these units."""
    large = TargetStatistics(mean=(10e6, -1e6), std=(4e6, 0.5e6))
    one, other = (
        build(asymmetric, TargetInfo("values", 2, statistics=s)) for s in (TARGET.statistics, large)
    )
    other.load_state_dict(one.state_dict())
    batch = make_batch()
    scaled = Batch(batch.inputs, batch.lengths, GOAL * 1e6)
    torch.testing.assert_close(one.loss(batch), other.loss(scaled))
    small, big = (m.predict(batch)[0]["values"] for m in (one, other))
    assert [value * 1e6 for value in small] == pytest.approx(big)


def test_a_target_without_statistics_stands_as_it_is(asymmetric):
    model = build(asymmetric, TargetInfo("values", 2))
    values = torch.tensor([r["values"] for r in model.predict(make_batch())], dtype=torch.float64)
    torch.testing.assert_close(model.loss(make_batch()), F.mse_loss(values, GOAL.double()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "square"}, "loss: expected one of 'squared', 'absolute', 'huber'"),
        ({"loss": "huber", "delta": 0}, "delta: expected a number above 0"),
        ({"delta": 2.0}, "delta belongs to loss=huber, not to loss=squared"),
        ({"pooling": []}, "pooling: the list is empty"),
    ],
)
def test_wrong_options(asymmetric, options, message):
    with pytest.raises(OptionError, match=message):
        build(asymmetric, **options)


def test_a_run_on_series_values_learns_and_answers_in_units(tmp_path):
    generator = torch.Generator().manual_seed(2)
    for split, count in (("train", 96), ("test", 32)):
        rows = []
        for _ in range(count):
            length = int(torch.randint(3, 9, (1,), generator=generator))
            series = torch.randn(length, generator=generator)
            value = 5000 + 300 * float(series.mean())
            rows.append({"series": series.tolist(), "value": value})
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{split}.jsonl").write_text(text)
    files = [f"source.{s}={tmp_path / s}.jsonl" for s in ("train", "test")]
    run = tmp_path / "run"
    options = ["cell=gru", "cell.hidden_size=16", "head.pooling=mean", "optimizer.lr=0.02"]
    command = ["train", "source=files", *files, "data=series_values", "head=regression"]
    assert main([*command, *options, "trainer.max_epochs=12", f"hydra.run.dir={run}"]) == 0
    test = json.loads((run / "result.json").read_text())["test"]
    assert test["r2"] > 0.8
    answer = seqlab.load(run / "bundle").predict([[0.0, 0.0, 0.0]])[0]["values"]
    assert answer == pytest.approx([5000], abs=150)


def test_numbers_a_step_can_be_streamed():
    """A step's answer is that of the whole row there, quantiles too."""
    target = TargetInfo("step_values", 2, statistics=TARGET.statistics)
    spec = {"name": "regression", "loss": "gaussian"}
    model = make_model(spec, target, lambda size: seqlab.GRU(size, 5)).double().eval()
    inputs, lengths = make_inputs([4, 2])
    whole = model.predict(Batch(inputs, lengths))
    running = model.stream()
    for step in range(4):
        now = {name: value[:, step] for name, value in inputs.items()}
        answers = model.head.answer_steps(running.step(now))
        for row in range(2 if step < 2 else 1):
            assert answers[row]["values"] == pytest.approx(whole[row]["values"][step])
            high = whole[row]["quantiles"]["0.9"][step]
            assert answers[row]["quantiles"]["0.9"] == pytest.approx(high)
    with pytest.raises(EngineError, match="head 'regression' answers whole rows"):
        make_model({"name": "regression"}, TARGET, lambda size: seqlab.GRU(size, 5)).stream()


def test_pooling_belongs_to_a_target_a_row():
    with pytest.raises(OptionError, match="pooling belongs to a target a row"):
        make_model({"name": "regression", "pooling": "last"}, TargetInfo("step_values", 1))
