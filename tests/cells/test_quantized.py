"""Weights of eight bits: rounding, and streaming by whole numbers."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import seqlab
import torch
from seqlab.cells.quantized import scales_of
from seqlab.engines.compiled.recurrence import CompiledRun


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_are_whole_numbers_and_stay_so(dtype):
    layer = seqlab.LSTM(37, 33).to(dtype)
    layer.cell.weight_hh.data[5] = 0.0
    layer.cell.weight_hh.data[6] *= 1e-6
    before = copy.deepcopy(layer)
    assert scales_of(layer.cell.weight_hh) is None
    seqlab.quantize(layer)
    for name in ("weight_ih", "weight_hh"):
        weight, given = getattr(layer.cell, name), getattr(before.cell, name)
        scale = scales_of(weight).unsqueeze(1)
        numbers = weight / scale
        assert torch.equal(numbers, numbers.round())
        assert numbers.abs().max() == 127
        assert ((weight - given).abs() <= 0.5001 * scale).all()
    assert torch.equal(layer.cell.bias, before.cell.bias)
    again = seqlab.quantize(copy.deepcopy(layer))
    for once, twice in zip(layer.parameters(), again.parameters(), strict=True):
        assert torch.equal(once, twice)


@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize("name", ["lstm", "gru", "mgu", "gru before"])
def test_steps_by_whole_numbers_equal_the_loop(name, batch, asymmetric, monkeypatch):
    shrunk = []
    once = CompiledRun.shrink
    monkeypatch.setattr(CompiledRun, "shrink", lambda *a: (shrunk.append(a[1:]), once(*a))[1])
    name, _, before = name.partition(" ")
    options = {"reset_after": False} if before else {}
    layer = asymmetric(seqlab.Recurrent(seqlab.get("cell", name)(6, 37, **options))).double()
    seqlab.quantize(layer)
    layer.engine = "compiled"
    x = torch.randn(batch, 7, 6, dtype=torch.float64)
    with torch.no_grad():
        running = seqlab.stream(layer)
        outputs = torch.stack([running.step(x[:, t])[0] for t in range(7)], 1)
        layer.engine = "loop"
        expected, state = layer(x)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(tuple(running.state), tuple(state))
    assert len(shrunk) == 1
    assert all(scale is not None for scale in shrunk[0])


def test_a_loaded_bundle_and_what_has_no_cells():
    layer = seqlab.GRU(3, 4)
    loaded = SimpleNamespace(model=layer)  # as TrainedModel has it
    assert seqlab.quantize(loaded) is loaded
    assert scales_of(layer.cell.weight_hh) is not None
    with pytest.raises(seqlab.OptionError, match="load returns, got dict"):
        seqlab.quantize({"weight": torch.ones(2)})


def test_all_gated_cells_of_a_model_and_no_others():
    layer = seqlab.Stacked([seqlab.Bidirectional(seqlab.GRU(4, 5)), seqlab.LSTM(10, 3)])
    linear = seqlab.Recurrent(seqlab.get("cell", "min_gru")(3, 4))
    both = torch.nn.ModuleList([layer, linear, torch.nn.Linear(4, 4)])
    before = copy.deepcopy(both)
    seqlab.quantize(both)
    changed = {
        name
        for (name, new), old in zip(both.named_parameters(), before.parameters(), strict=True)
        if not torch.equal(new, old)
    }
    assert len(changed) == 6
    assert all(name.endswith(("weight_ih", "weight_hh")) for name in changed)
