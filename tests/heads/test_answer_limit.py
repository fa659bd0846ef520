"""Answers end: the limit learnt from the training rows, and what a run-on answer may change."""

import dataclasses
import json

import pytest
import torch
from encoder_decoder_helpers import TARGET, build, make_batch
from seqlab.cli import main
from seqlab.errors import OptionError
from seqlab.heads.answer_limit import AnswerLimit
from seqlab.heads.metrics import ErrorRate, Outcome
from seqlab.types import TargetStatistics

from small_runs import write_pairs

SEEN = dataclasses.replace(TARGET, statistics=TargetStatistics(length=(0.5, 3.0)))
STEPS = torch.tensor([0, 4, 9])


@pytest.mark.parametrize(
    ("target", "options", "expected"),
    [
        (SEEN, (None, None), [5, 8, 12]),
        (SEEN, (7, None), [7, 7, 7]),
        (SEEN, (None, 0.5), [0, 2, 5]),
        (SEEN, (4, 0.5), [0, 2, 4]),
        (TARGET, (None, None), [100, 100, 100]),
    ],
)
def test_limits_are_given_or_learnt(target, options, expected):
    assert AnswerLimit(target, *options).of(STEPS).tolist() == expected


def test_one_call_may_change_the_limit():
    limit = AnswerLimit(SEEN, 7, None)
    assert limit.changed(None, None).of(STEPS).tolist() == [7, 7, 7]
    assert limit.changed(3, None).of(STEPS).tolist() == [3, 3, 3]
    assert limit.changed(None, 1.0).of(STEPS).tolist() == [0, 4, 7]
    with pytest.raises(OptionError, match="max_length"):
        limit.changed(0, None)


def test_answers_that_reach_the_limit_are_marked_and_counted(asymmetric):
    model, batch = build(asymmetric, max_length=3), make_batch()
    with torch.no_grad():
        model.head.decoder.output.bias[2] = -50.0  # never ends by itself
    assert [answer["cut"] for answer in model.predict(batch)] == [True, True, True]
    metrics = model.metrics()
    model.measure(metrics, batch)
    assert int(metrics["answers_cut"].compute()) == 3
    with torch.no_grad():
        model.head.decoder.output.bias[2] = 50.0  # ends at once
    assert [answer["cut"] for answer in model.predict(batch)] == [False, False, False]
    metrics = model.metrics()
    model.measure(metrics, batch)
    assert int(metrics["answers_cut"].compute()) == 0


def test_one_run_on_answer_moves_the_monitor_by_no_more_than_its_share(asymmetric):
    model = build(asymmetric)
    name, mode = model.head.monitor
    assert mode == "min"
    metric = model.metrics()[name]
    assert isinstance(metric, ErrorRate)
    rows = [[1, 2, 3, 4]] * 99
    metric.update(Outcome([*rows, [1] * 10_000], [[row] for row in [*rows, [1, 2, 3, 4]]]))
    assert float(metric.compute()) == pytest.approx(1 / 100)


def test_a_run_learns_the_limit_and_shows_the_count(tmp_path, capsys):
    source = write_pairs(tmp_path / "data")
    words = [f"source.{key}={value}" for key, value in source.items() if key != "name"]
    run = tmp_path / "run"
    data = ["data=text_text", "data.features.text.column=there", "data.target.column=back"]
    small = ["cell.hidden_size=4", "head.decoder.cell.hidden_size=4", "trainer.max_steps=2"]
    folder = f"hydra.run.dir={run}"
    assert (
        main(["train", "source=files", *words, *data, "head=encoder_decoder", *small, folder]) == 0
    )
    assert "answers_cut" in capsys.readouterr().out
    test = json.loads((run / "result.json").read_text())["test"]
    assert 0 <= test["answers_cut"] <= 11
    info = json.loads((run / "bundle" / "config.json").read_text())["info"]
    # five letters at most, one answer token for each: no answer of more than 8
    slope, extra = info["target"]["statistics"]["length"]
    assert slope * 5 + extra == pytest.approx(5)
