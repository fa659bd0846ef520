"""Every option reaches a real training run from its spec: penalties, constraints, merges."""

from __future__ import annotations

import json

import pytest
import seqlab
import torch
from seqlab.training.run import train

from small_runs import changed, pairs_spec, words_spec

CELL = {
    "name": "lstm",
    "hidden_size": 6,
    "activation": {"name": "leaky_relu", "negative_slope": 0.3},
    "recurrent_activation": "hard_sigmoid",
    "kernel_initializer": {"name": "variance_scaling", "mode": "fan_out"},
    "chrono": 8,
    "peepholes": True,
    "proj_size": 5,
    "layer_norm": True,
    "zoneout": {"cell": 0.1},
    "weight_dropout": 0.1,
    "recurrent_dropout": 0.2,
    "untied_dropout": True,
    "kernel_constraint": {"name": "max_norm", "max_value": 0.2},
    "recurrent_constraint": {"name": "unit_norm", "axis": 1},
    "activity_regularizer": {"name": "l2", "l2": 0.001},
}


@pytest.mark.parametrize("make", [words_spec, pairs_spec])
def test_options_from_a_spec(tmp_path, make):
    merge = {"name": "bidirectional", "merge_mode": "gate"}
    spec = changed(make(tmp_path), encoder__cell=CELL, encoder__wrappers=[merge])
    train(changed(spec, trainer__max_epochs=1), tmp_path / "run")
    config = json.loads((tmp_path / "run" / "bundle" / "config.json").read_text())
    assert config["encoder"]["cell"]["peepholes"] is True
    model = seqlab.load(tmp_path / "run" / "bundle").model
    cells = model.encoder.layer.cells()
    assert len(cells) == 2
    for cell in cells:
        assert cell.weight_ih.norm(dim=1).max() <= 0.2 + 1e-5
        norms = cell.weight_hh.norm(dim=0)
        torch.testing.assert_close(norms, torch.ones_like(norms), rtol=1e-5, atol=1e-5)


def test_a_penalty_changes_what_is_learned(tmp_path):
    norms = []
    for factor in (0.0, 1.0):
        cell = {
            "name": "gru",
            "hidden_size": 6,
            "kernel_regularizer": {"name": "l2", "l2": factor},
        }
        spec = changed(words_spec(tmp_path), encoder__cell=cell)
        train(spec, tmp_path / f"run{factor}")
        model = seqlab.load(tmp_path / f"run{factor}" / "bundle").model
        norms.append(sum(float(c.weight_ih.detach().norm()) for c in model.encoder.layer.cells()))
    assert norms[1] < 0.8 * norms[0]
