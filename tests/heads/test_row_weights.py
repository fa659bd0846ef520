"""Weights of rows: a row of weight 2 is that row twice, one of weight 0 is not there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from heads_helpers import make_inputs, make_model
from seqlab.types import Batch, TargetInfo, TargetStatistics

LENGTHS = [4, 1, 3, 2, 0]
COUNTS = torch.tensor([2, 0, 1, 3, 1])
NUMBERS = TargetInfo("values", 2, statistics=TargetStatistics(mean=(1.0, -1.0), std=(4.0, 0.5)))
STEPS = TargetInfo("step_values", 1, statistics=TargetStatistics(mean=(1.0,), std=(2.0,)))
GAPS = torch.tensor([[1.0, 2.0], [3.0, 0.0], [float("nan"), 1.0], [0.5, 0.5], [2.0, float("nan")]])
CASES = {
    "label": ({"name": "classification"}, TargetInfo("label", 3, ("a", "b", "c")),
              torch.tensor([0, 2, 1, 1, 2])),
    "class weights": ({"name": "classification", "class_weights": {"a": 2.0, "b": 0.5, "c": 1.0},
                       "label_smoothing": 0.1}, TargetInfo("label", 3, ("a", "b", "c")),
                      torch.tensor([0, 2, 1, 1, 2])),
    "labels": ({"name": "classification"}, TargetInfo("labels", 2, ("a", "b")),
               torch.tensor([[1, 0], [0, 0], [1, 1], [0, 1], [0, 0]])),
    "values": ({"name": "regression"}, NUMBERS, GAPS),
    "gaussian": ({"name": "regression", "loss": "gaussian"}, NUMBERS, GAPS),
    "step values": ({"name": "regression"}, STEPS, torch.arange(20.0).reshape(5, 4, 1).sin()),
}  # fmt: skip


def taken(batch, places):
    """Some rows of a batch, any number of times each."""
    rows = batch.apply(lambda tensor: tensor[places])
    return replace(rows, weights=None)


@pytest.mark.parametrize("case", CASES)
def test_a_weight_is_a_number_of_rows(asymmetric, case):
    spec, target, goal = CASES[case]
    model = asymmetric(make_model(spec, target)).double().eval()
    inputs, lengths = make_inputs(LENGTHS)
    weighted = Batch(inputs, lengths, goal, weights=COUNTS.double())
    repeated = taken(weighted, torch.arange(5).repeat_interleave(COUNTS))
    found = []
    for batch in (weighted, repeated):
        loss = model.loss(batch)
        given = [one for one in model.parameters() if one.requires_grad]
        found.append([loss, *torch.autograd.grad(loss, given, allow_unused=True)])
    for mine, theirs in zip(*found, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(model.measure(model.metrics(), weighted), found[0][0])


@pytest.mark.parametrize("case", CASES)
def test_equal_weights_change_nothing(asymmetric, case):
    spec, target, goal = CASES[case]
    model = asymmetric(make_model(spec, target)).double().eval()
    batch = Batch(*make_inputs(LENGTHS), goal)
    weighted = replace(batch, weights=torch.full((5,), 0.3))
    torch.testing.assert_close(model.loss(weighted), model.loss(batch), rtol=1e-6, atol=1e-8)
