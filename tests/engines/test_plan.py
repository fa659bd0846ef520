"""The planner's rules."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.engines.calls import expected_calls


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
        assert "in this run, and setting up takes 4 s" in slow.explain(x).refused["compiled"]
    with expected_calls(100_000):
        assert slow.explain(x).engine.name == "compiled"
        plan = vendor.explain(x)
        assert plan.engine.name == "compiled"
        assert "it saves about" in plan.why
        assert plan.refused["fused"].startswith("a call is expected to take")
    assert slow.explain(x).engine.name == "loop"


def test_what_is_measured_decides():
    """As in docs/benchmarks_peers.md: small layers are called more than they compute."""
    small, large = torch.zeros(8, 50, 16), torch.zeros(32, 50, 256)
    for make in (seqlab.RNN, seqlab.LSTM, seqlab.GRU):
        with expected_calls(100_000):
            assert make(16, 16).explain(small).engine.name == "compiled"
            assert make(256, 256).explain(large).engine.name == "compiled"
        with torch.inference_mode():
            assert make(16, 16).explain(small).engine.name == "fused"
            (gain,) = make(16, 16).explain(small).savings
        assert gain.engine == "compiled"
        assert gain.seconds > 0


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
    assert line.startswith("engine loop: it runs every cell (not compiled: its calls so far would")
    assert "; not fused: the vendor's kernel has no layer_norm" in line
    assert "\n" not in line


def test_a_layer_called_often_enough_is_compiled_in_the_end(monkeypatch):
    layer = seqlab.GRU(3, 4, layer_norm=True)
    x = torch.randn(2, 9, 3)
    expected = layer(x)[0]
    assert layer.explain(x).engine.name == "loop"
    monkeypatch.setattr("seqlab.engines.compiled.engine.COMPILE_SECONDS", 0.02)
    names = []
    for _ in range(20):
        names.append(layer.explain(x).engine.name)
        torch.testing.assert_close(layer(x)[0], expected)
    assert names[0] == "loop"
    assert names[-1] == "compiled"
    assert "its calls so far would have gained" in layer.explain(x).why
    assert seqlab.GRU(3, 4, layer_norm=True).explain(x).engine.name == "loop"


def test_calls_without_gradients_and_calls_of_a_known_run_do_not_count(monkeypatch):
    monkeypatch.setattr("seqlab.engines.compiled.engine.COMPILE_SECONDS", 0.02)
    layer = seqlab.GRU(3, 4, layer_norm=True)
    x = torch.randn(2, 9, 3)
    for _ in range(40):
        with torch.no_grad():
            layer(x)
        with expected_calls(1):
            layer(x)
    assert layer.explain(x).engine.name == "loop"


def test_calls_without_gradients_count_for_themselves(monkeypatch):
    monkeypatch.setattr("seqlab.engines.compiled.engine.COMPILE_SECONDS", 0.02)
    layer = seqlab.GRU(3, 4, layer_norm=True).eval()
    x = torch.randn(2, 9, 3)
    with torch.inference_mode():
        before = layer(x)[0]
        assert layer.explain(x).engine.name == "loop"
        for _ in range(100):
            layer(x)
        assert layer.explain(x).engine.name == "compiled"
        torch.testing.assert_close(layer(x)[0], before)
    assert layer.explain(x).engine.name == "loop"


def test_layers_that_run_together_count_too(monkeypatch):
    monkeypatch.setattr("seqlab.engines.compiled.engine.COMPILE_SECONDS", 0.02)
    pair = seqlab.Bidirectional(seqlab.GRU(3, 4))
    x = torch.randn(2, 30, 3)
    for _ in range(40):
        pair(x)
    for layer in (pair.forward_layer, pair.backward_layer):
        assert layer.explain(x).engine.name == "compiled"


def test_every_engine_is_chosen_or_has_a_reason():
    for layer in (seqlab.LSTM(3, 4), seqlab.RNN(3, 4, zoneout=0.1),
                  seqlab.Recurrent(seqlab.get("cell", "sru")(3, 4))):  # fmt: skip
        plan = layer.explain(torch.zeros(2, 5, 3))
        assert {plan.engine.name, *plan.refused} == set(seqlab.available("engine"))
        assert plan.why
        assert all(plan.refused.values())


def test_explaining_an_engine_asked_for_by_name_compiles_nothing(monkeypatch):
    monkeypatch.setattr(
        "seqlab.engines.compiled.cell_code._variants.make", lambda *_, **__: pytest.fail("compiled")
    )
    plan = seqlab.GRU(3, 4, engine="loop").explain(torch.zeros(2, 5, 3))
    assert plan.refused["compiled"] == "another engine was asked for by name"
