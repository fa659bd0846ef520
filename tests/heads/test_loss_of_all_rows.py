"""The loss of all rows does not depend on the batches in which they are measured."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from seqlab.verbs.evaluate import measure

from small_runs import (
    SIZES,
    changed,
    pairs_spec,
    sentences_spec,
    series_spec,
    untrained,
    words_spec,
)

JOINT = {
    "data__target": None,
    "data__targets": {
        "marks": {"column": "marks", "kind": "tags"},
        "said": {"column": "marks", "kind": "labels"},
    },
    "head": {"name": "joint", "weights": {"said": 0.3}},
}
CASES = {
    "classes": (words_spec, {}),
    "weighted classes": (words_spec, {"head__class_weights": [0.2, 3.0]}),
    "smooth classes": (
        words_spec, {"head__class_weights": [0.2, 3.0], "head__label_smoothing": 0.2}
    ),
    "tags": (sentences_spec, {}),
    "weighted tags": (sentences_spec, {"head__class_weights": [1.0, 4.0, 0.3, 2.0]}),
    "crf": (sentences_spec, {"head__crf": True}),
    "tokens": (pairs_spec, {}),
    "frames": (pairs_spec, {"head": {"name": "ctc", "upsampling": 3}}),
    "numbers": (series_spec, {}),
    "joint": (sentences_spec, JOINT),
    "language": (
        words_spec,
        {"data__target": {"kind": "inputs"}, "head": {"name": "language_model"},
         "encoder__wrappers": ["bidirectional"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_batches_of_any_size_give_one_loss(case, tmp_path):
    make, changes = CASES[case]
    model, data = untrained(changed(make(tmp_path), **changes))
    rows = SIZES["test"]
    batch = data._encoded["test"].batch(np.arange(rows))
    with torch.inference_mode():
        whole = float(model.measure(model.metrics(), batch, final=True))
    for size in (1, 3, rows):
        data.spec = dataclasses.replace(data.spec, eval_batch_size=size)
        assert measure(model, data, "test")["loss"] == pytest.approx(whole, rel=1e-5)
