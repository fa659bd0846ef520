"""A long table by the command: windows of it are learnt, and the steps to come are answered."""

from __future__ import annotations

import json
import math
import random
import re

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
    split = "{by: tail, order: hour, each: place, validation: 80, test: 80, context: 24}"
    words += [f"source.split={split}", "data=series_forecast"]
    words += ["data.transforms.0.by=place", "data.transforms.0.order=hour"]
    words += ["data.transforms.1.context=24", "data.transforms.1.horizon=6", "head=forecast"]
    words += ["head.loss=quantile", "head.season=24", "wrapper=none", "cell=gru"]
    words += ["cell.hidden_size=16", "trainer.max_epochs=5", "optimizer.lr=0.02", "samples=2"]
    assert main([*words, f"hydra.run.dir={folder / 'run'}"]) == 0
    return folder


def truth(hour, level):
    return level + 10 * math.sin(2 * math.pi * hour / PERIOD)


def test_it_beats_the_last_value_and_a_seasonal_forecast_stands_beside(run):
    result = json.loads((run / "run/result.json").read_text())
    seasonal, (last,) = result["baseline"], result["other_baselines"]
    assert (seasonal["name"], last["name"]) == ("seasonal naive, 24 steps", "last value")
    # two draws of noise of deviation 0.5
    assert seasonal["mae"] == pytest.approx(0.5 * 2 / math.sqrt(math.pi), rel=0.15)
    assert result["test"]["mae"] < 0.5 * last["mae"]
    assert {"rmse", "smape", "pinball", "coverage"} <= set(result["test"])


def test_predict_answers_the_next_steps_of_each_series(run, capsys):
    assert main(["predict", f"bundle={run / 'run/bundle'}", f"input={run / 'demand.csv'}"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(a["input"]["place"], a["row"], a["part"]) for a in answers] == [
        ("north", 0, "steps 377-400"),
        ("south", 1, "steps 377-400"),
    ]
    for answer, level in zip(answers, (50, 80), strict=True):
        wanted = [truth(400 + step, level) for step in range(6)]
        assert answer["values"] == pytest.approx(wanted, abs=6)
        low, high = answer["quantiles"]["0.1"], answer["quantiles"]["0.9"]
        assert all(a < b for a, b in zip(low, high, strict=True))


def test_the_bundle_takes_rows_of_python_and_says_what_is_wrong(run):
    model = seqlab.load(run / "run/bundle")
    hours = list(range(25))
    table = {"place": ["x"] * 25, "hour": hours, "value": [50.0 + t for t in hours]}
    answers = model.predict(table)
    assert [(a["row"], a["part"]) for a in answers] == [(0, "steps 2-25")]
    rows = [{"place": "x", "hour": t, "value": 50.0 + t} for t in hours]
    assert model.predict(rows) == answers
    with pytest.raises(seqlab.DataError, match=r"input 1: data.transforms\[1\]: .* takes 24 steps"):
        model.predict(rows[:5])
    with pytest.raises(seqlab.DataError, match="input 2: column 'hour' is missing"):
        model.predict([rows[0], {"place": "x", "value": 1.0}])
    with pytest.raises(seqlab.DataError, match=r"input 1.*found nan at step 3; the transform fill"):
        model.predict(
            [{**row, "value": float("nan") if t == 4 else 1.0} for t, row in enumerate(rows)]
        )
    assert "model.predict(rows)" in (run / "run/bundle/README.md").read_text()


def test_evaluate_makes_the_same_rows(run, capsys):
    words = ["evaluate", f"bundle={run / 'run/bundle'}", f"output={run / 'again.json'}"]
    assert main(words) == 0
    result = json.loads((run / "run/result.json").read_text())
    again = json.loads((run / "again.json").read_text())
    assert again["rows"] == 2 * (80 - 6 + 1)  # every test hour is forecast, and none of training
    assert again["test"]["mae"] == pytest.approx(result["test"]["mae"], rel=1e-5)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        pytest.param(
            *(
                "data.transforms.1.context=400",
                "a window takes 400 steps and the 6 after them, found",
            ),
            marks=pytest.mark.slow,
        ),
        ("data.transforms.1.horizon=300", "a window takes 24 steps and the 300 after them, found"),
        ("head.base=season head.season=25", "24 steps are fewer than a season of 25"),
        pytest.param(
            *("head.metrics=[{name:mase,season:24}]", "24 steps are not more than a season of 24"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_does_not_fit_is_one_line_with_the_row(run, word, message, tmp_path, capsys):
    split = "{by: tail, order: hour, each: place, test: 80, context: 24}"
    words = ["train", "source=files", f"source.path={run / 'demand.csv'}", f"source.split={split}"]
    words += ["data=series_forecast", "data.transforms.0.by=place", "data.transforms.0.order=hour"]
    words += ["data.transforms.1.context=24", "data.transforms.1.horizon=6", "head=forecast"]
    words += ["wrapper=none", "cell=gru", "cell.hidden_size=4", f"hydra.run.dir={tmp_path / 'run'}"]
    assert main([*words, *word.split()]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert re.search(r"demand\.csv line \d+ ?(steps|:)", said)
    assert len([line for line in said.splitlines() if line.startswith("error")]) == 1


def test_a_wrong_option_on_the_command_line_is_one_line(capsys):
    words = ["train", "source=files", "source.path=x.csv", "data=series_forecast"]
    assert main([*words, "head=forecast", "data.transforms.1.contxt=3"]) == 2
    said = capsys.readouterr().err
    assert "data.transforms[1]: transform 'windows' has no option 'contxt': did you mean" in said


def test_inspect_follows_the_loss_of_windows(run):
    words = [f"bundle={run / 'run/bundle'}", f"input={run / 'demand.csv'}", "rows=60"]
    assert main(["inspect", *words, f"output={run / 'inspect'}"]) == 0
    found = json.loads((run / "inspect/inspect.json").read_text())
    assert found["of"] == "loss"
    assert [k for k, _ in found["layers"][0]["gradient"]] == list(range(1, 25))
    assert len(found["examples"][0]["contributions"]) == 24


def test_the_page_of_the_run_shows_forecasts(run):
    page = (run / "run/report.html").read_text("utf-8")
    assert "Predicted beside expected" in page
    for text in ("Forecast 1", "Forecast 3", "between the outer quantiles", ">before<"):
        assert text in page
