"""A run that fits a temperature, and what it says of classes."""

from __future__ import annotations

import json

import pytest
import seqlab
import torch
from seqlab.errors import OptionError
from seqlab.training.run import train
from seqlab.verbs import evaluate

from small_runs import changed, words_spec


def test_a_run_keeps_its_temperature_in_the_bundle(tmp_path, capsys):
    spec = changed(words_spec(tmp_path), head__temperature="fitted", trainer__max_epochs=2)
    spec["report"] = True
    folder = train(spec, tmp_path / "run").folder
    result = json.loads((folder / "result.json").read_text("utf-8"))
    found = result["calibration"]
    config = json.loads((folder / "bundle" / "config.json").read_text("utf-8"))
    assert config["head"]["temperature"] == found["temperature"] != 1.0
    trained = seqlab.load(folder / "bundle")
    assert trained.model.head.temperature == found["temperature"]
    assert result["test"]["calibration_error"] == pytest.approx(found["test"]["after"], abs=1e-5)
    assert set(found["validation"]) == set(found["reliability"]) == {"before", "after"}
    evaluate.run({"bundle": str(folder / "bundle"), "split": "test"}, tmp_path / "again")
    again = json.loads((tmp_path / "again" / "result.json").read_text("utf-8"))
    for name in ("classes", "confusion"):
        assert again[name] == result[name]
    assert again["test"] == pytest.approx(result["test"], abs=1e-5)
    # the same answers as without, less or more sure
    scores = torch.tensor([a["scores"] for a in trained.predict(["abc", "ffa"])])
    trained.model.head.temperature = 1.0
    plain = torch.tensor([a["scores"] for a in trained.predict(["abc", "ffa"])])
    expected = (plain.log() / found["temperature"]).softmax(1)
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)
    printed = capsys.readouterr().out
    assert "fitted on validation: calibration error of test" in printed
    assert "precision" in printed
    assert "Reliability on the test rows" in (folder / "report.html").read_text("utf-8")


def test_a_temperature_needs_validation_rows(tmp_path):
    spec = changed(words_spec(tmp_path), head__temperature="fitted")
    spec["source"].pop("validation")
    with pytest.raises(OptionError, match=r"head.temperature=fitted needs validation rows"):
        train(spec, tmp_path / "run")
