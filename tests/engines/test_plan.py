"""The planner's rules."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.engines.plan import expected_calls


def test_nobody_waits_for_a_compiler_who_did_not_say_how_long_the_run_is():
    layer = seqlab.LSTM(8, 32, recurrent_dropout=0.2)
    plan = layer.explain(torch.zeros(8, 50, 8))
    assert plan.engine.name == "loop"
    assert plan.refused["compiled"].startswith("its calls so far would have gained 0.0 s")


def test_long_runs_are_compiled_and_short_ones_are_not():
    slow, vendor = seqlab.LSTM(8, 32, layer_norm=True), seqlab.GRU(8, 32)
    x = torch.zeros(8, 50, 8)
    with expected_calls(20):
        assert slow.explain(x).engine.name == "loop"
        assert vendor.explain(x).engine.name == "fused"
        assert "in this run, and compiling takes seconds" in slow.explain(x).refused["compiled"]
    with expected_calls(100_000):
        assert slow.explain(x).engine.name == "compiled"
        plan = vendor.explain(x)
        assert plan.engine.name == "compiled"
        assert plan.why.startswith("it saves about")
        assert "compiled code is expected to be faster" in plan.refused["fused"]
    assert slow.explain(x).engine.name == "loop"


def test_padding_makes_the_vendor_s_kernel_dear():
    layer = seqlab.LSTM(64, 64)
    x = torch.zeros(64, 200, 64)
    with expected_calls(1000):
        assert layer.explain(x).engine.name == "fused"
        assert layer.explain(x, masked=True).engine.name == "compiled"


@pytest.mark.parametrize("engine", ["loop", "fused"])
@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("make", [seqlab.RNN, seqlab.LSTM, seqlab.GRU])
def test_streaming_equals_the_whole_run(make, use_bias, engine, asymmetric):
    layer = asymmetric(make(3, 4, use_bias=use_bias, engine=engine)).double()
    x = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    expected, final = layer(x)
    running = seqlab.stream(layer)
    steps = torch.stack([running.step(x[:, t])[0] for t in range(5)], 1)
    torch.testing.assert_close(steps, expected)
    torch.testing.assert_close(tuple(running.state), tuple(final))
    found = [torch.autograd.grad(y.square().sum(), layer.cell.weight_hh) for y in (steps, expected)]
    torch.testing.assert_close(*found)


def test_a_plan_is_one_readable_line():
    line = str(seqlab.GRU(3, 4, layer_norm=True).explain(torch.zeros(1, 2, 3)))
    assert line.startswith(
        "engine loop: it runs every cell (not fused: the vendor's kernel has no layer_norm"
    )
    assert "\n" not in line
