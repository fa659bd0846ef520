"""Calls that were planned before go straight to the engine, with the numbers of the long way."""

from __future__ import annotations

import copy

import pytest
import seqlab
import torch
from seqlab.cells.base import leaves
from seqlab.engines.calls import coming_calls
from seqlab.engines.compiled.engine import CompiledEngine
from seqlab.engines.settled import undisturbed
from seqlab.engines.traced import variants
from torch._subclasses.fake_tensor import FakeTensorMode

SIZES = ((1, 1, 37, 33), (1, 1, 16, 16), (1, 30, 5, 33), (70, 3, 33, 64), (5, 1, 1, 1))


def layer_of(name, features, hidden, **options):
    cell = seqlab.get("cell", name)(features, hidden)
    return seqlab.Recurrent(cell, **{"engine": "compiled", **options}).eval()


def both(layer, x, state=None):
    """A run and a step by the layer as it is, and by the long way."""
    start = layer.initial_state(len(x)) if state is None else state
    yield (*layer(x, state), *layer.step(x[:, 0], start))
    layer._planner.forget()
    yield (*layer(x, state), *layer.step(x[:, 0], start))


def long_way(layer, x, **given):
    layer._planner.forget()
    return layer(x, **given)


def same(found, expected):
    for mine, theirs in zip(leaves(found), leaves(expected), strict=True):
        assert torch.equal(mine, theirs)
        assert mine.dtype == theirs.dtype


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cell", ["lstm", "gru", "mgu", "gru fused", "mgu loop", "lstm auto"])
def test_equals_the_long_way(cell, size, asymmetric, straight):
    name, _, engine = cell.partition(" ")
    batch, steps, features, hidden = size
    layer = asymmetric(layer_of(name, features, hidden, engine=engine or "compiled"))
    x = torch.randn(batch, steps, features)
    state = layer.cell.State(*[torch.randn(batch, hidden) for _ in layer.cell.State._fields])
    with torch.no_grad():
        list(both(layer, x))
        for given in (None, state):
            for inputs in (x, torch.randn_like(x), x.transpose(0, 1).contiguous().transpose(0, 1)):
                del straight[:]
                found, expected = both(layer, inputs, given)
                same(found, expected)
                assert straight == [True, True, False, False]


def test_backward_in_time_and_threads(asymmetric, straight):
    layer = asymmetric(layer_of("lstm", 6, 33, reverse=True))
    x = torch.randn(9, 4, 6)
    before = torch.get_num_threads()
    try:
        with torch.no_grad():
            for threads in (1, 2, 1):
                torch.set_num_threads(threads)
                for _ in range(2):
                    same(layer(x), long_way(layer, x))
            layer.reverse_()
            same(layer(x), long_way(layer, x))
    finally:
        torch.set_num_threads(before)
    assert straight == [False, False, *[True, False] * 5, False, False]


def weight_elsewhere(layer):
    layer.cell._parameters["weight_hh"] = torch.nn.Parameter(layer.cell.weight_hh * 2)


CHANGES = {
    "in place": lambda layer: layer.cell.weight_hh.mul_(0.5),
    "through data": lambda layer: layer.cell.weight_ih.data.mul_(0.5),
    "data": lambda layer: setattr(layer.cell.bias, "data", torch.randn_like(layer.cell.bias)),
    "load_state_dict": lambda layer: layer.load_state_dict(
        {k: v * 2 for k, v in layer.state_dict().items()}
    ),
    "assigned": lambda layer: layer.load_state_dict(
        {k: v * 2 for k, v in layer.state_dict().items()}, assign=True
    ),
    "parameter": lambda layer: setattr(
        layer.cell, "weight_hh", torch.nn.Parameter(layer.cell.weight_hh * 2)
    ),
    "torch's dictionary": weight_elsewhere,
    "double": torch.nn.Module.double,
    "there and back": lambda layer: layer.double().float(),
    "the cell's type": lambda layer: layer.cell.double(),
    "option": lambda layer: setattr(layer.cell, "zoneout", (0.5,) * len(layer.cell.State._fields)),
    "engine": lambda layer: setattr(layer, "engine", "loop"),
}

#: What other code is compiled for.
COMPILES = ("double", "the cell's type", "option")


@pytest.mark.parametrize(
    "change",
    [pytest.param(name, marks=pytest.mark.slow) if name in COMPILES else name for name in CHANGES],
)
@pytest.mark.parametrize("name", ["lstm", "mgu"])
def test_sees_changes(name, change, asymmetric, straight):
    layer, x = asymmetric(layer_of(name, 6, 21)), torch.randn(2, 3, 6)
    with torch.no_grad():
        before, _ = both(layer, x)
        same(*both(layer, x))
        CHANGES[change](layer)
        x = x.to(layer.cell.weight_ih.dtype)
        if change == "through data":  # of which a stream knows nothing
            layer.cell.bias.mul_(1)
        for _ in range(2):
            found, expected = both(layer, x)
            same(found, expected)
        way = straight[-4:]
        if name == "lstm":
            same(found[:2], copy.deepcopy(layer)(x))
    assert change in ("there and back", "engine") or not torch.equal(found[0], before[0])
    assert way == [True, True, False, False]


def test_training_and_back(asymmetric, straight):
    layer = asymmetric(seqlab.LSTM(4, 21, engine="compiled", recurrent_dropout=0.5)).eval()
    x = torch.randn(2, 3, 4)
    with torch.no_grad():
        expected = layer(x)[0]
        assert torch.equal(layer(x)[0], expected)
        layer.train()
        assert not torch.equal(layer(x)[0], expected)
        layer.eval()
        assert torch.equal(layer(x)[0], expected)
        layer.train()
        layer.cell.eval()
        assert torch.equal(layer(x)[0], expected)
    assert straight == [False, True, False, True, True]


def test_wrong_states_and_inputs_are_refused_as_before(asymmetric):
    layer, x = asymmetric(seqlab.GRU(4, 21, engine="compiled")).eval(), torch.randn(2, 3, 4)
    with torch.no_grad():
        expected = [layer(x), layer(x)][1]
        same(layer(x, torch.zeros(2, 21)), expected)  # a state's only tensor
        with pytest.raises(seqlab.ShapeError):
            layer(x, layer.initial_state(3))
        with pytest.raises(seqlab.ShapeError):
            layer(x.double())
        layer.cell.double()
        with pytest.raises(seqlab.ShapeError):
            layer(x)


def test_a_step_from_a_state_of_another_form_reads_no_foreign_memory():
    layer, x = layer_of("gru", 4, 21), torch.randn(2, 4)
    with torch.no_grad():
        layer.step(x, layer.initial_state(2))
        with pytest.raises(RuntimeError):
            layer.step(x, layer.initial_state(3))
        with pytest.raises(RuntimeError):
            layer.step(x, layer.initial_state(2, dtype=torch.float64))


@pytest.mark.filterwarnings("ignore:.*jit.trace:DeprecationWarning")
@pytest.mark.parametrize(
    "around",
    [lambda: torch.autocast("cpu", torch.bfloat16), FakeTensorMode,
     lambda: torch.device("cpu"), torch.autograd.forward_ad.dual_level],
    ids=["autocast", "fake tensors", "a mode", "forward mode"],
)  # fmt: skip
def test_what_surrounds_a_call_keeps_it_on_the_long_way(around):
    with torch.no_grad():
        assert undisturbed()
        with around():
            assert not undisturbed()
        assert undisturbed()
        assert not torch.vmap(lambda x: x * float(undisturbed()))(torch.ones(2)).any()
        asked = []
        torch.jit.trace(
            lambda x: (asked.append(undisturbed()), 2 * x)[1], torch.ones(2), check_trace=False
        )
        assert not any(asked)


def test_autocast_gradients_and_inference_mode(asymmetric, straight):
    layer, x = asymmetric(layer_of("lstm", 6, 21)), torch.randn(2, 3, 6)
    with torch.no_grad():
        for _ in range(2):
            expected = layer(x)[0]
        with torch.autocast("cpu", torch.bfloat16):
            assert not torch.equal(layer(x)[0], expected)
        with torch.enable_grad():
            assert layer(x)[0].requires_grad
        with coming_calls(5):  # the planner may choose another engine
            assert torch.equal(layer(x)[0], expected)
            assert torch.equal(layer(x)[0], expected)
    assert straight == [False, True, False, False, False, True]
    with torch.inference_mode():
        for _ in range(2):
            output = layer(x)[0]
            assert torch.equal(output, expected)
            assert output.is_inference()
    assert straight[-2:] == [False, True]


def test_parameters_in_the_place_of_others(asymmetric):
    layer, x = asymmetric(layer_of("gru", 6, 21)), torch.randn(2, 3, 6)
    with torch.no_grad():
        for _ in range(2):
            before = layer(x)[0]
        twice = {name: 2 * value for name, value in layer.named_parameters()}
        other = copy.deepcopy(layer)
        other.load_state_dict(twice)
        found = torch.func.functional_call(layer, twice, (x,))[0]
        assert torch.equal(found, other(x)[0])
        assert torch.equal(layer(x)[0], before)


def test_a_layer_of_ones_own_is_asked_each_time(straight):
    class Doubled(seqlab.Recurrent):
        def _over(self, x_BTD, state, mask):
            return super()._over(2 * x_BTD, state, mask)

    layer = Doubled(seqlab.get("cell", "gru")(4, 21), engine="compiled").eval()
    x = torch.randn(2, 3, 4)
    with torch.no_grad():
        first = layer(x)[0]
        assert torch.equal(layer(x)[0], first)
        assert torch.equal(seqlab.Recurrent(layer.cell, engine="compiled").eval()(2 * x)[0], first)
    assert not any(straight)


FACTOR = 0.5


def sharper(value):
    return 2 * value


class Author(seqlab.GatedCell):
    """A cell of somebody else's, which reads an attribute of its class and a global."""

    gates = ("forget",)
    State = seqlab.HiddenState
    SHARE = 0.25

    def update(self, x, h, state):
        keep = self.recurrent_activation(sharper(x.forget + h.forget))
        hidden = keep * state.hidden + FACTOR * (self.SHARE - keep)
        return hidden, seqlab.HiddenState(hidden)


def update_without_state(self, x, h, state):
    return self.SHARE * state.hidden + x.forget, seqlab.HiddenState(h.forget)


AUTHORS = {
    "class": lambda patch: patch.setattr(Author, "SHARE", 0.75),
    "global": lambda patch: patch.setitem(globals(), "FACTOR", 0.25),
    "function": lambda patch: patch.setitem(globals(), "sharper", lambda value: value),
    "code": lambda patch: patch.setattr(sharper, "__code__", (lambda value: 3 * value).__code__),
    "method": lambda patch: patch.setattr(Author, "update", update_without_state),
}


@pytest.mark.parametrize(
    "change", ["none", *(pytest.param(name, marks=pytest.mark.slow) for name in AUTHORS)]
)
def test_what_an_author_s_equations_read_is_looked_at_in_each_call(
    change, asymmetric, straight, monkeypatch
):
    cell = seqlab.get("cell", "mgu") if change == "none" else Author
    layer = asymmetric(seqlab.Recurrent(cell(3, 5), engine="compiled")).eval()
    reference = copy.deepcopy(layer)
    reference.engine = "loop"
    x, reads = torch.randn(2, 4, 3), []
    with torch.no_grad():
        layer(x)
        layer(x)
        AUTHORS.get(change, lambda _: None)(monkeypatch)
        once = variants.read_constants
        monkeypatch.setattr(variants, "read_constants", lambda *a: (reads.append(1), once(*a))[1])
        for _ in range(2):
            torch.testing.assert_close(layer(x), reference(x))
        reads.clear()
        layer(x)
    assert not reads
    assert straight[-1]


def test_a_trained_initial_state(asymmetric):
    cell = seqlab.get("cell", "gru")(4, 21)
    layer = seqlab.Recurrent(cell, engine="compiled", initial_state="trained").eval()
    x = torch.randn(2, 3, 4)
    with torch.no_grad():
        zero = [layer(x), layer(x)][1]
        layer.initial[0].fill_(0.5)
        assert not torch.equal(layer(x)[0], zero[0])
        same(layer(x), copy.deepcopy(layer)(x))


def test_calls_that_would_gain_are_counted(monkeypatch, straight):
    layer, x = seqlab.GRU(8, 20, layer_norm=True).eval(), torch.zeros(1, 40, 8)
    with torch.inference_mode():
        layer(x)
        gain = layer._planner._forgone[False]["compiled"]
        for _ in range(3):
            layer(x)
        assert layer._planner._forgone[False]["compiled"] == pytest.approx(4 * gain)
        layer._planner._forgone[False]["compiled"] = 1e9  # more than compiling takes
        monkeypatch.setattr(CompiledEngine, "prepare", lambda *_: "not here")
        layer._planner.forget()
        layer(x)
    assert straight == [False, True, True, True, False]
