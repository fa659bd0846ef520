"""A metric on other draws of the test rows is what the model would have on those rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from seqlab.bundle import TrainedModel
from seqlab.comparison.blocks import SummedMetric, test_value
from seqlab.comparison.statistics import row_weights
from seqlab.errors import ConfigError
from torchmetrics.classification import MulticlassCalibrationError

from small_runs import (
    SIZES,
    changed,
    pairs_spec,
    sentences_spec,
    series_spec,
    untrained,
    words_spec,
)

CORRELATION = "matthews_correlation"
CASES = {
    "share": (words_spec, "accuracy", {}),
    "classes": (words_spec, "macro_f1", {}),
    "correlation": (words_spec, CORRELATION, {"head__metrics": [CORRELATION]}),
    "loss": (words_spec, "loss", {}),
    "spans": (sentences_spec, "span_f1", {}),
    "texts": (pairs_spec, "token_error_rate", {}),
    "numbers": (series_spec, "r2", {}),
}  # fmt: skip


def trained(make, folder, changes):
    spec = changed(make(folder), **changes)
    model, data = untrained(spec)
    return TrainedModel(model, data.processor, spec), data


@pytest.mark.parametrize("case", CASES)
def test_a_draw_of_rows_has_the_value_of_those_rows(tmp_path, case):
    make, metric, changes = CASES[case]
    model, data = trained(make, tmp_path, changes)
    found = test_value(model, model.config["source"], metric, "max")
    assert found.rows == SIZES["test"]
    draws = [np.ones(found.rows), *row_weights(found.rows)[:3]]
    for weights, value in zip(draws, [found.value, *found.resampled[:3]], strict=True):
        rows = np.repeat(np.arange(found.rows), weights.astype(int))
        batch = data._encoded["test"].batch(rows)
        measured = {**model.model.metrics(), "loss": model.model.loss_mean()}
        mean = measured.pop("loss")
        with torch.inference_mode():
            mean.update(model.model.measure_terms(measured, batch, final=True))
        wanted = float({**measured, "loss": mean}[metric].compute())
        assert value == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def test_many_rows_are_taken_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("seqlab.comparison.blocks.MOST_BLOCKS", 4)
    model, _ = trained(words_spec, tmp_path, {})
    whole = test_value(model, model.config["source"], None, "max")
    assert (whole.metric, whole.mode) == model.model.head.monitor
    assert len(set(np.round(whole.resampled, 6))) > 3
    monkeypatch.undo()
    alone = test_value(model, model.config["source"], None, "max")
    assert alone.value == pytest.approx(whole.value)
    assert alone.digest == whole.digest


def test_a_metric_that_is_no_sum_is_refused():
    with pytest.raises(ConfigError, match="no sum over test rows"):
        SummedMetric(MulticlassCalibrationError(3), "calibration_error")


def test_a_metric_that_is_not_there_is_refused(tmp_path):
    model, _ = trained(words_spec, tmp_path, {})
    with pytest.raises(ConfigError, match="no metric 'acuracy' here, did you mean 'accuracy'"):
        test_value(model, model.config["source"], "acuracy", "max")
