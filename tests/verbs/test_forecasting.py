"""A long table by the command: windows of it are learnt, and the steps to come are answered."""

from __future__ import annotations

import json
import math
import random

import pytest
import seqlab
from seqlab.cli import main

PERIOD = 24


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A noisy daily curve of two series, a model of it, and its run directory."""
    folder = tmp_path_factory.mktemp("forecast")
    draw = random.Random(1)  # noqa: S311 - test data
    lines = ["hour,place,value"]
    for hour in range(400):
        for place, level in (("north", 50.0), ("south", 80.0)):
            value = level + 10 * math.sin(2 * math.pi * hour / PERIOD) + draw.gauss(0, 0.5)
            lines.append(f"{hour},{place},{value:.3f}")
    (folder / "demand.csv").write_text("\n".join(lines) + "\n")
    words = ["train", "source=files", f"source.path={folder / 'demand.csv'}"]
    words += ["source.split={by: tail, order: hour, each: place, validation: 0.2, test: 0.2}"]
    words += ["data=series_forecast", "data.transforms.0.by=place", "data.transforms.0.order=hour"]
    words += ["data.transforms.1.context=12", "head=regression", "wrapper=none", "cell=gru"]
    words += ["cell.hidden_size=16", "trainer.max_epochs=6", "optimizer.lr=0.02", "samples=2"]
    assert main([*words, f"hydra.run.dir={folder / 'run'}"]) == 0
    return folder


def test_it_beats_the_last_value(run):
    result = json.loads((run / "run/result.json").read_text())
    assert result["baseline"]["name"] == "last value"
    assert result["test"]["mae"] < 0.8 * result["baseline"]["mae"]


def test_predict_answers_the_next_step_of_each_series(run, capsys):
    assert main(["predict", f"bundle={run / 'run/bundle'}", f"input={run / 'demand.csv'}"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(a["input"]["place"], a["row"], a["part"]) for a in answers] == [
        ("north", 0, "steps 389-400"),
        ("south", 1, "steps 389-400"),
    ]
    for answer, level in zip(answers, (50, 80), strict=True):
        wanted = level + 10 * math.sin(2 * math.pi * 400 / PERIOD)
        assert answer["values"][0] == pytest.approx(wanted, abs=6)


def test_the_bundle_takes_rows_of_python_and_says_what_is_wrong(run):
    model = seqlab.load(run / "run/bundle")
    table = {"place": ["x"] * 13, "hour": list(range(13)), "value": [50.0 + t for t in range(13)]}
    answers = model.predict(table)
    assert [(a["row"], a["part"]) for a in answers] == [(0, "steps 2-13")]
    rows = [{"place": "x", "hour": t, "value": 50.0 + t} for t in range(13)]
    assert model.predict(rows) == answers
    with pytest.raises(seqlab.DataError, match=r"input 1: data.transforms\[1\]: .* takes 12 steps"):
        model.predict(rows[:5])
    with pytest.raises(seqlab.DataError, match="input 2: column 'hour' is missing"):
        model.predict([rows[0], {"place": "x", "value": 1.0}])
    assert "model.predict(rows)" in (run / "run/bundle/README.md").read_text()


def test_evaluate_makes_the_same_rows(run, capsys):
    words = ["evaluate", f"bundle={run / 'run/bundle'}", f"output={run / 'again.json'}"]
    assert main(words) == 0
    result = json.loads((run / "run/result.json").read_text())
    again = json.loads((run / "again.json").read_text())
    assert again["rows"] == 2 * (80 - 12)  # 80 hours a place: 12 of them, and the next
    assert again["test"]["mae"] == pytest.approx(result["test"]["mae"], rel=1e-5)


def test_a_wrong_option_on_the_command_line_is_one_line(capsys):
    words = ["train", "source=files", "source.path=x.csv", "data=series_forecast"]
    assert main([*words, "head=regression", "data.transforms.1.contxt=3"]) == 2
    said = capsys.readouterr().err
    assert "data.transforms[1]: transform 'windows' has no option 'contxt': did you mean" in said
