"""What is announced of calls without gradients, and code that is kept, decide about engines."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.engines.calls import coming_calls, expected_calls
from seqlab.engines.compiled import cell_code
from seqlab.engines.compiled.engine import CompiledEngine
from seqlab.layers.stream import MANY


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Where compiled code would lie; nothing is compiled, as decisions alone are looked at."""
    file = tmp_path / "code.so"
    monkeypatch.setattr(cell_code, "library_file", lambda *_: file)
    monkeypatch.setattr(CompiledEngine, "prepare", lambda *_: None)
    return file


def chosen(layer, x, count):
    with torch.inference_mode(), coming_calls(count):
        return layer.explain(x).engine.name


def test_code_that_is_kept_is_taken_for_fewer_calls(cache):
    layer, x = seqlab.GRU(128, 128).eval(), torch.zeros(1, 50, 128)
    assert chosen(layer, x, 2000) == "fused"  # compiling takes longer than it saves
    assert chosen(layer, x, 100_000) == "compiled"
    cache.touch()
    assert chosen(layer, x, 2000) == "compiled"
    assert chosen(layer, x, 20) == "fused"
    assert chosen(layer, x, 0) == "fused"


def test_nobody_looks_for_code_that_would_not_pay(cache, monkeypatch):
    layer, x = seqlab.GRU(128, 128).eval(), torch.zeros(1, 50, 128)
    cache.touch()
    monkeypatch.setattr(cell_code._written, "make", lambda *_: pytest.fail("traced"))
    assert chosen(layer, x, 20) == "fused"


def test_what_the_calls_so_far_would_have_gained_counts_too(cache):
    cache.touch()
    layer, x = seqlab.GRU(8, 128, layer_norm=True).eval(), torch.zeros(1, 40, 8)
    with torch.inference_mode():
        names = []
        for _ in range(300):
            plan = layer.explain(x)
            names.append(plan.engine.name)
            layer._planner.note(plan)
    assert names[0] == "loop"
    assert names[-1] == "compiled"


def test_a_training_chooses_as_it_did_whatever_the_cache_holds(cache):
    layer, x = seqlab.GRU(128, 128), torch.zeros(1, 50, 128)
    cold = []
    for warm in (False, True):
        if warm:
            cache.touch()
        for calls in (100, 1000, 3000, 10_000):
            with expected_calls(calls), coming_calls(10**6):
                names = [layer.explain(x).engine.name]
                with torch.inference_mode():
                    names.append(layer.explain(x).engine.name)
            cold.append((warm, calls, names))
    half = len(cold) // 2
    assert [row[1:] for row in cold[:half]] == [row[1:] for row in cold[half:]]
    with coming_calls(10**6):
        assert layer.explain(x).engine.name == "fused"  # gradients are wanted


def test_the_larger_announcement_holds(cache):
    cache.touch()
    layer, x = seqlab.GRU(128, 128).eval(), torch.zeros(1, 50, 128)
    with coming_calls(2000):
        assert chosen(layer, x, 3) == "compiled"
    assert chosen(layer, x, 3) == "fused"


def steps_by(layer, x, count=None):
    """The engine of a layer's steps, as the planner hands it out."""
    asked = []
    ready = CompiledEngine.ready_step
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(CompiledEngine, "ready_step", lambda *a: (asked.append(1), ready(*a))[1])
        patch.setattr(CompiledEngine, "step", lambda *_: None)  # the loop's, as nothing is compiled
        if count is None:
            seqlab.stream(layer).step(x)
        else:
            with coming_calls(count):
                layer.step(x, layer.initial_state(len(x)))
    return "compiled" if asked else "other"


@pytest.mark.parametrize("name", ["gru", "mgu"])
def test_a_stream_takes_code_that_is_kept_and_waits_for_none(name, cache):
    layer = seqlab.Recurrent(seqlab.get("cell", name)(8, 128)).eval()
    x = torch.zeros(1, 8)
    assert steps_by(layer, x) == "other"
    cache.touch()
    layer = seqlab.Recurrent(seqlab.get("cell", name)(8, 128)).eval()
    assert steps_by(layer, x, 3) == "other"
    assert steps_by(layer, x, MANY - 1) == "compiled"  # more are announced than when it chose
    assert steps_by(layer, x) == "compiled"


def test_a_stream_with_gradients_or_weights_that_nobody_watches_is_not_compiled(cache):
    cache.touch()
    layer, x = seqlab.GRU(8, 128), torch.zeros(1, 8)
    assert seqlab.stream(layer).step(x)[0].requires_grad
    with torch.inference_mode():
        made = seqlab.GRU(8, 128).eval()
    assert steps_by(made, x) == "other"


def test_a_stream_by_kept_code_equals_the_loop(asymmetric):
    layer = asymmetric(seqlab.GRU(3, 5)).eval()
    x = torch.randn(2, 6, 3)
    with torch.no_grad():
        layer.engine = "compiled"
        seqlab.stream(layer).step(x[:, 0])  # from now on its code is kept
        layer.engine = "auto"
        running = seqlab.stream(layer)
        outputs = torch.stack([running.step(x[:, t])[0] for t in range(6)], 1)
        layer.engine = "loop"
        expected, state = layer(x)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(running.state[0], state[0])
