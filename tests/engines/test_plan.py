"""The planner's rules."""

from __future__ import annotations

import seqlab
import torch
from seqlab.engines.plan import expected_calls


def test_nobody_waits_for_a_compiler_who_did_not_say_how_long_the_run_is():
    layer = seqlab.LSTM(8, 32, recurrent_dropout=0.2)
    plan = layer.explain(torch.zeros(8, 50, 8))
    assert plan.engine.name == "loop"
    assert "run's length is unknown" in plan.refused["compiled"]


def test_long_runs_are_compiled_and_short_ones_are_not():
    slow, vendor = seqlab.LSTM(8, 32, layer_norm=True), seqlab.GRU(8, 32)
    x = torch.zeros(8, 50, 8)
    with expected_calls(20):
        assert slow.explain(x).engine.name == "loop"
        assert vendor.explain(x).engine.name == "fused"
        assert "it would save" in slow.explain(x).refused["compiled"]
    with expected_calls(100_000):
        assert slow.explain(x).engine.name == "compiled"
        plan = vendor.explain(x)
        assert plan.engine.name == "compiled"
        assert "faster over the whole run" in plan.refused["fused"]
    assert slow.explain(x).engine.name == "loop"


def test_a_plan_is_one_readable_line():
    line = str(seqlab.GRU(3, 4, layer_norm=True).explain(torch.zeros(1, 2, 3)))
    assert line.startswith("engine loop (not fused: the vendor's kernel has no layer_norm")
    assert "\n" not in line
