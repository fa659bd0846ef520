"""Metrics that ``head.metrics`` adds to a head's own."""

import json
import math

import pytest
import torch
from encoder_decoder_helpers import TARGET, spec
from heads_helpers import make_model
from seqlab.cli import main
from seqlab.errors import SeqlabError
from seqlab.heads.metrics import Outcome
from seqlab.heads.metrics.classes import (
    Accuracy,
    CalibrationError,
    ExactMatch,
    MacroF1,
    MatthewsCorrelation,
    TopKAccuracy,
)
from seqlab.heads.metrics.numbers import MAE, R2, RMSE
from seqlab.types import TargetInfo, TargetStatistics

from sklearn import metrics as sk
from small_runs import write_words

LABEL = TargetInfo("label", 4, ("a", "b", "c", "d"))


@pytest.fixture
def labels():
    generator = torch.Generator().manual_seed(5)
    gold = torch.randint(4, (60,), generator=generator)
    scores = torch.randn(60, 4, generator=generator, dtype=torch.float64)
    scores[torch.arange(60), gold] += 0.8
    scores = scores.softmax(-1)
    return Outcome(scores.argmax(-1), gold, scores)


def value(metric, *outcomes):
    for outcome in outcomes:
        metric.update(outcome)
    return float(metric.compute())


def test_metrics_of_labels_are_scikit_learns(labels):
    gold, answer = labels.gold.numpy(), labels.answer.numpy()
    expected = {
        Accuracy: sk.accuracy_score(gold, answer),
        MacroF1: sk.f1_score(gold, answer, average="macro"),
        MatthewsCorrelation: sk.matthews_corrcoef(gold, answer),
    }
    for metric, right in expected.items():
        assert value(metric(LABEL), labels) == pytest.approx(right, abs=1e-6)
    top = sk.top_k_accuracy_score(gold, labels.scores.numpy(), k=2)
    assert value(TopKAccuracy(LABEL, k=2), labels) == pytest.approx(top)


@pytest.mark.parametrize(
    ("size", "gold", "answer"),
    [(1, [0] * 5, [0] * 5), (2, [0], [1]), (2, [0, 1], [1, 1]), (4, [2, 2], [2, 2])],
)
def test_one_class_alone_has_no_correlation(size, gold, answer):
    target = TargetInfo("label", size)
    outcome = Outcome(torch.tensor(answer), torch.tensor(gold))
    assert value(MatthewsCorrelation(target), outcome) == 0


def test_calibration_is_the_gap_of_one_bin():
    scores = torch.tensor([[0.81, 0.19]] * 10)
    outcome = Outcome(torch.zeros(10, dtype=torch.long), torch.tensor([0] * 6 + [1] * 4), scores)
    target = TargetInfo("label", 2)
    assert value(CalibrationError(target), outcome) == pytest.approx(0.21, abs=1e-6)


def test_exact_match_of_tags_looks_at_real_steps_alone():
    answer = torch.tensor([[1, 2, 0], [1, 1, 1]])
    gold = torch.tensor([[1, 2, 3], [1, 0, 1]])
    outcome = Outcome(answer, gold, lengths=torch.tensor([2, 3]))
    assert value(ExactMatch(TargetInfo("tags", 4)), outcome) == 0.5


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_metrics_of_numbers_are_scikit_learns(offset):
    generator = torch.Generator().manual_seed(6)
    gold = torch.randn(40, 2, generator=generator, dtype=torch.float64) * 3 + offset
    answer = gold + torch.randn(40, 2, generator=generator, dtype=torch.float64)
    statistics = TargetStatistics(mean=(offset, offset), std=(3.0, 3.0))
    target = TargetInfo("values", 2, statistics=statistics)
    halves = [Outcome(answer[part], gold[part]) for part in (slice(0, 13), slice(13, None))]
    assert value(R2(target), *halves) == pytest.approx(sk.r2_score(gold, answer), rel=1e-6)
    assert value(MAE(target), *halves) == pytest.approx(sk.mean_absolute_error(gold, answer), 1e-5)
    rmse = math.sqrt(sk.mean_squared_error(gold, answer))
    assert value(RMSE(target), *halves) == pytest.approx(rmse, 1e-5)


def test_r2_of_what_never_varies_is_no_number():
    same = torch.full((5, 1), 2.5)
    assert math.isnan(value(R2(TargetInfo("values", 1)), Outcome(same + 1, same)))


def head_of(*metrics):
    return make_model(spec(metrics=list(metrics)), TARGET).head


def test_a_metric_is_added_by_name_and_keeps_the_heads_own():
    own = set(head_of().metrics())
    added = head_of({"name": "error_rate", "level": "sequence"}).metrics()
    assert set(added) == own | {"error_rate"}
    assert added["error_rate"] is not head_of("error_rate").metrics()["error_rate"]


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (["acuracy"], "unknown metric 'acuracy': did you mean 'accuracy'"),
        (
            ["accuracy"],
            "metric 'accuracy' measures targets of kind 'label' or 'labels' or 'tags' or 'inputs'",
        ),
        (["error_rate", "error_rate"], "head.metrics: 'error_rate' is there twice"),
        ([{"name": "error_rate", "levle": "token"}], "no option 'levle': did you mean 'level'"),
    ],
)
def test_a_metric_that_does_not_fit_is_refused(metrics, message):
    with pytest.raises(SeqlabError, match=message):
        head_of(*metrics)


def test_a_name_that_the_head_has_is_refused():
    with pytest.raises(SeqlabError, match="the head measures 'answers_cut' already"):
        head_of("answers_cut").metrics()


def test_a_run_measures_and_selects_by_a_chosen_metric(tmp_path):
    source = write_words(tmp_path / "data")
    words = [f"source.{key}={value}" for key, value in source.items() if key != "name"]
    data = ["data=text_label", "data.features.text.column=word", "data.target.column=kind"]
    chosen = ["head.metrics=[matthews_correlation,{name: top_k_accuracy, k: 1}]"]
    monitor = ["callbacks.checkpoint={monitor: matthews_correlation, mode: max}"]
    small = ["cell.hidden_size=4", "trainer.max_steps=3", f"hydra.run.dir={tmp_path / 'run'}"]
    command = ["train", "source=files", *words, *data, "head=classification"]
    assert main([*command, *chosen, *monitor, *small]) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["monitor"]["name"] == "matthews_correlation"
    assert result["test"]["top_k_accuracy"] == pytest.approx(result["test"]["accuracy"])
