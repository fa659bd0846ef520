"""What is announced of calls without gradients, and code that is kept, decide about engines."""

from __future__ import annotations

import threading
import time

import pytest
import seqlab
import torch
from seqlab.engines.calls import coming_calls, expected_calls
from seqlab.engines.compiled import cell_code
from seqlab.engines.compiled import engine as compiled
from seqlab.engines.compiled.engine import CompiledEngine
from seqlab.engines.compiled.streaming import Steps
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


class Compiler:
    """Stands for the compiler: what it is given is done when ``may_end`` is set."""

    def __init__(self, file):
        self.file, self.jobs = file, 0
        self.may_end, self.ended = threading.Event(), threading.Event()

    def __call__(self, *_):
        self.jobs += 1
        assert self.may_end.wait(60)
        if self.file is None:
            self.ended.set()
            raise cell_code.CompilerError("no compiler after all")
        self.file.touch()
        self.ended.set()


@pytest.fixture
def steps_priced(monkeypatch):
    """Steps that gain what compiling takes after some; by whom they are taken."""
    monkeypatch.setattr(compiled, "COMPILE_SECONDS", 1e-3)
    monkeypatch.setattr(compiled, "KEPT_SECONDS", 1e-4)
    asked = []
    ready = CompiledEngine.ready_step
    monkeypatch.setattr(CompiledEngine, "ready_step", lambda *a: (asked.append(1), ready(*a))[1])
    monkeypatch.setattr(CompiledEngine, "step", lambda *_: None)  # as nothing is compiled
    return asked


@pytest.mark.parametrize("works", [True, False])
def test_a_long_stream_is_compiled_while_it_goes_on(works, cache, steps_priced, monkeypatch):
    compiler = Compiler(cache if works else None)
    monkeypatch.setattr(cell_code, "load_library", compiler)
    layer = seqlab.Recurrent(seqlab.get("cell", "mgu")(8, 128)).eval()
    running, x = seqlab.stream(layer), torch.zeros(1, 8)
    with torch.no_grad():
        for _ in range(5):  # a step of the loop costs some 70 us more
            running.step(x)
        assert not compiler.jobs
        for _ in range(200):
            running.step(x)
        assert not steps_priced  # it does not wait
        compiler.may_end.set()
        assert compiler.ended.wait(60)
        for _ in range(100):
            running.step(x)
            time.sleep(1e-3)  # until the thread has told
    assert compiler.jobs == 1
    assert bool(steps_priced) == works


def test_steps_in_a_training_or_with_gradients_compile_nothing(cache, steps_priced, monkeypatch):
    compiler = Compiler(cache)
    monkeypatch.setattr(cell_code, "load_library", compiler)
    layer = seqlab.Recurrent(seqlab.get("cell", "mgu")(8, 128)).eval()
    x, state = torch.zeros(1, 8), layer.initial_state(1)
    for count in (10, None):
        with expected_calls(count), torch.no_grad():
            for _ in range(200):
                layer.step(x, state)
    for _ in range(200):
        layer.step(x, state)
    assert not compiler.jobs
    assert not steps_priced


@pytest.mark.slow
def test_a_stream_goes_on_compiled_with_the_loop_s_numbers(tmp_path, monkeypatch, asymmetric):
    class Leaking(seqlab.GatedCell):
        """No other test has compiled it."""

        gates = ("forget", "candidate")
        State = seqlab.HiddenState

        def update(self, x, h, state):
            keep = 0.8125 * self.recurrent_activation(x.forget + h.forget)
            hidden = keep * state.hidden + (1 - keep) * self.activation(x.candidate + h.candidate)
            return hidden, seqlab.HiddenState(hidden)

    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path))
    monkeypatch.setattr(compiled, "COMPILE_SECONDS", 1e-3)
    monkeypatch.setattr(compiled, "KEPT_SECONDS", 1e-4)
    layer = asymmetric(seqlab.Recurrent(Leaking(6, 20))).eval()
    x = torch.randn(2, 400, 6)
    used = []
    once = Steps.step
    monkeypatch.setattr(Steps, "step", lambda *a: (used.append(1), once(*a))[1])
    with torch.no_grad():
        running, outputs = seqlab.stream(layer), []
        for t in range(400):
            outputs.append(running.step(x[:, t])[0])
            if t == 200:
                assert not used
                end = time.monotonic() + 120
                while not list(tmp_path.glob("kernels/*.so")) and time.monotonic() < end:
                    time.sleep(0.1)
                time.sleep(0.1)
        layer.engine = "loop"
        expected, _ = layer(x)
    assert 190 < len(used) < 200
    torch.testing.assert_close(torch.stack(outputs, 1), expected)


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
