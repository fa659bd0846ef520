from __future__ import annotations

import importlib.util
import sys
import types

import pytest
from seqlab.errors import RunError
from seqlab.training import loggers
from seqlab.training.loggers import build_loggers
from seqlab.training.run import train

from small_runs import changed, words_spec


def test_none_by_default(tmp_path):
    assert build_loggers(None, tmp_path) == []
    assert build_loggers({}, tmp_path) == []
    spec = {"tensorboard": False, "wandb": None, "mlflow": None, "trackio": None}
    assert build_loggers(spec, tmp_path) == []


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow", "trackio"])
def test_missing_package_names_the_extra(tmp_path, monkeypatch, name):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RunError, match=rf"logger\.{name} needs .*pip install 'seqlab\[{name}\]'"):
        build_loggers({name: {}}, tmp_path)


def test_tensorboard_gets_each_row(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    spec = changed(words_spec(tmp_path), logger__tensorboard=True, trainer__max_epochs=1)
    train(spec, tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train_loss")] == [4, 8, 10]
    assert [event.step for event in events.Scalars("val_accuracy")] == [10]
    assert not (tmp_path / "run" / "lightning_logs").exists()


def test_trackio_gets_rows_and_is_finished(tmp_path, monkeypatch):
    calls = []
    fake = types.ModuleType("trackio")
    fake.init = lambda **options: calls.append(("init", options))
    fake.log = lambda values, step: calls.append((step, values))
    fake.finish = lambda: calls.append(("finish", {}))
    monkeypatch.setitem(sys.modules, "trackio", fake)
    [logger] = build_loggers_with(monkeypatch, {"trackio": {"project": "p"}}, tmp_path / "run-7")
    logger.log_metrics({"loss": 0.5}, 3)
    logger.finalize("success")
    assert (logger.name, logger.version) == ("p", "run-7")
    assert calls == [
        ("init", {"project": "p", "name": "run-7"}),
        (3, {"loss": 0.5}),
        ("finish", {}),
    ]


def build_loggers_with(monkeypatch, spec, folder):
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda name: name)
    return build_loggers(spec, folder)
