"""How long a run is, what ends it, and which weights it keeps."""

from __future__ import annotations

import math

import pytest
import seqlab
from seqlab.errors import ConfigError
from seqlab.training.run import train
from seqlab.training.trainer import Length, run_length

from small_runs import changed, words_spec


@pytest.mark.parametrize(
    ("options", "batches", "length"),
    [
        ({}, 2, (250, 500, 2)),  # few rows: at least 500 steps
        ({}, 70, (10, 700, 70)),
        ({"max_steps": 30}, 70, (None, 30, 70)),
        ({"max_steps": 3000}, 70, (None, 3000, 70)),
        ({"accumulate_grad_batches": 4}, 7, (250, 500, 2)),
        ({"limit_train_batches": 0.5}, 200, (10, 1000, 100)),
        ({"max_epochs": 3}, 2, (3, 6, 2)),
        ({"max_epochs": None}, 2, (None, None, 2)),
    ],
)
def test_length_when_it_is_not_given(options, batches, length):
    trainer = {"max_epochs": "auto", **options}
    assert run_length({"trainer": trainer}, batches) == Length(*length)


def test_few_rows_are_learnt_by_default(tmp_path, capsys):
    spec = changed(words_spec(tmp_path), trainer__max_epochs="auto", trainer__max_seconds=0.0)
    values = train(spec, tmp_path / "run").values
    assert "trainer.max_epochs=auto: 50 epochs of 10 steps" in capsys.readouterr().out
    assert values["ended"] == "trainer.max_seconds=0.0"


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"trainer__max_steps": 7}, 7),
        ({"trainer__max_epochs": None, "trainer__max_steps": 13}, 13),
        ({"trainer__max_epochs": None, "trainer__max_seconds": 0.0}, 1),
        ({"trainer__limit_train_batches": 4}, 12),
        ({"trainer__limit_train_batches": 0.5}, 15),
        ({"trainer__overfit_batches": 2}, 6),
        ({"trainer__accumulate_grad_batches": 4}, 9),
        ({"callbacks__early_stopping": {"patience": 1, "min_delta": 5.0}}, 20),
    ],
)
def test_length_of_a_run(tmp_path, changes, steps):
    result = train(changed(words_spec(tmp_path), **changes), tmp_path / "run")
    assert result.values["steps"] == steps
    # the last step is always validated, however the run ended
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert rows[-1].startswith(f"{steps},")
    assert not math.isnan(result.objective)


def test_choosing_the_best_by_another_metric(tmp_path):
    spec = changed(words_spec(tmp_path), callbacks__checkpoint__monitor="val_loss")
    result = train(spec, tmp_path / "run")
    assert result.values["monitor"] == {"name": "loss", "mode": "min"}
    assert result.objective == pytest.approx(result.values["validation"]["loss"])
    spec = changed(spec, callbacks__checkpoint__monitor="acuracy")
    with pytest.raises(ConfigError, match=r"callbacks\.checkpoint\.monitor: .*'accuracy'"):
        train(spec, tmp_path / "other")


def test_without_validation_rows_the_last_weights_are_kept(tmp_path, capsys):
    spec = words_spec(tmp_path)
    del spec["source"]["validation"]
    result = train(spec, tmp_path / "run")
    assert "no validation rows" in capsys.readouterr().out
    assert math.isnan(result.objective)
    assert result.values["validation"] == {}
    assert result.values["test"]["accuracy"] > 0
    seqlab.load(tmp_path / "run" / "bundle")


def test_of_equal_validations_the_later_weights_are_kept(tmp_path, capsys):
    # without learning every validation is the same
    spec = changed(words_spec(tmp_path), optimizer={"name": "sgd", "lr": 1e-30})
    result = train(spec, tmp_path / "run")
    assert result.values["best_step"] == 30
    out = capsys.readouterr().out
    assert "training ended by trainer.max_epochs=3\n" in out
    assert "kept the weights of epoch 3, step 30: val_accuracy" in out
    assert "is the highest of 3 validations" in out


def test_early_stopping_says_so(tmp_path, capsys):
    spec = changed(
        words_spec(tmp_path),
        optimizer={"name": "sgd", "lr": 1e-30},
        callbacks__early_stopping={"patience": 2},
        trainer__max_epochs=9,
    )
    values = train(spec, tmp_path / "run").values
    reason = values["ended"]
    assert reason.startswith("early stopping: val_accuracy was no better than")
    assert reason.endswith("in the last 2 of the validations")
    assert values["steps"] == 30
    assert f"training ended by {reason}\n" in capsys.readouterr().out


def test_a_run_ended_by_the_clock_prints_each_epoch_once(tmp_path, capsys, monkeypatch):
    # the clock moves a second a look, so the run ends inside its second epoch on any machine
    ticks = iter(range(10**6))
    monkeypatch.setattr("seqlab.training.recorder.time.monotonic", lambda: float(next(ticks)))
    spec = changed(words_spec(tmp_path), trainer__max_epochs=None, trainer__max_seconds=40.0)
    values = train(spec, tmp_path / "run").values
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    starts = [line.partition("  train_loss")[0] for line in lines]
    assert len(lines) > 1
    assert len(set(starts)) == len(starts)
    assert values["ended"] == "trainer.max_seconds=40.0"
    assert values["steps"] % 10


@pytest.mark.filterwarnings(
    "ignore:Encountered `nan` values in tensor"
)  # torchmetrics's, as they are
def test_a_run_whose_last_step_made_its_weights_infinite_says_so_and_so_does_its_card(tmp_path):
    spec = changed(
        words_spec(tmp_path),
        optimizer={"name": "sgd", "lr": 3e38},
        encoder__cell__kernel_regularizer={"name": "l2", "l2": 100.0},
        trainer__max_steps=1,
        trainer__gradient_clip_val=None,
    )
    with pytest.warns(UserWarning, match=r"the weight '.*' is not finite, .*smaller optimizer\.lr"):
        train(spec, tmp_path / "run")
    card = (tmp_path / "run/bundle/README.md").read_text()
    assert "is not finite, as after a training that diverged" in card
    with pytest.warns(UserWarning, match="is not finite"):
        seqlab.load(tmp_path / "run/bundle")
