"""Training calls that were planned before go straight to the engine, with the same gradients."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab import registry
from seqlab.cells.base import leaves
from seqlab.engines.calls import expected_calls
from seqlab.engines.loop import LoopEngine
from seqlab.engines.settled import Settled

SIZES = ((1, 1, 5, 3), (3, 7, 5, 21), (2, 1, 37, 41))


@pytest.fixture(name="straight")
def _straight(monkeypatch):
    """For each call of a layer, whether it went straight to the engine."""
    seen = []
    once = Settled.find

    def find(self, *args, **options):
        call = once(self, *args, **options)
        if call is None:
            seen.append(False)
            return None

        def told(*given):
            found = call(*given)
            seen.append(found is not None)
            return found

        return told

    monkeypatch.setattr(Settled, "find", find)
    return seen


def layer_of(name, features=5, hidden=21, **options):
    cell = seqlab.get("cell", name)(features, hidden)
    return seqlab.Recurrent(cell, **{"engine": "compiled", **options})


def gradients(layer, x, state=None, **masked):
    """The output, the final state and all gradients of a loss that sees both."""
    x = x.clone().requires_grad_()
    given = None if state is None else type(state)(*[s.clone().requires_grad_() for s in state])
    output, final = layer(x, given, **masked)
    loss = (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum()
    for number, part in enumerate(leaves(final)):
        loss = loss + (number + 0.5) * part.square().sum()
    wanted = [x, *layer.parameters(), *(given or ())]
    wanted = [tensor for tensor in wanted if tensor.requires_grad]
    return [output, *leaves(final), *torch.autograd.grad(loss, wanted)]


def same(found, expected):
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "cell", ["lstm", "gru", "mgu", "gru reversed", "gru fused", "mgu loop", "lstm auto", "lru scan"]
)
def test_equals_the_long_way(cell, size, asymmetric, straight):
    name, _, more = cell.partition(" ")
    batch, steps, features, hidden = size
    options = {"reverse": True} if more == "reversed" else {"engine": more or "compiled"}
    layer = asymmetric(layer_of(name, features, hidden, **options))
    x = torch.randn(batch, steps, features)
    state = None
    if name != "lru":
        state = layer.cell.State(*[torch.randn(batch, hidden) for _ in layer.cell.State._fields])
    gradients(layer, x)
    for given in (None, state):
        for inputs in (x, torch.randn_like(x), x.transpose(0, 1).contiguous().transpose(0, 1)):
            del straight[:]
            found = gradients(layer, inputs, given)
            layer._planner.forget()
            same(found, gradients(layer, inputs, given))
            assert straight == [True, False]


MASKED = ["lstm", "gru", "mgu", "gru reversed", "gru fused", "lstm fused", "mgu loop", "lru scan"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cell", MASKED)
def test_masked_calls_equal_the_long_way(cell, size, asymmetric, straight):
    name, _, more = cell.partition(" ")
    batch, steps, features, hidden = size
    options = {"reverse": True} if more == "reversed" else {"engine": more or "compiled"}
    layer = asymmetric(layer_of(name, features, hidden, **options))
    layer.masked_output = "carry" if more == "reversed" else "zeros"
    state = layer.cell.State(
        *[torch.randn_like(part) for part in layer.initial_state(batch)]
    ) if name != "lru" else None  # fmt: skip
    holes = torch.arange(batch * steps).view(batch, steps) % 3 != 1
    masks = [{"mask": holes}, {"mask": torch.zeros_like(holes)}, {"mask": ~holes},
             {"lengths": torch.arange(batch) % steps}, {"mask": holes.T.contiguous().T},
             {"mask": holes, "lengths": torch.arange(1, batch + 1) % steps}]  # fmt: skip
    x = torch.randn(batch, steps, features)
    gradients(layer, x, mask=holes)
    for given in (None, state):
        for masked in masks:
            inputs = torch.randn_like(x)
            del straight[:]
            found = gradients(layer, inputs, given, **masked)
            layer._planner.forget()
            same(found, gradients(layer, inputs, given, **masked))
            assert straight == [True, False]


def test_half_precision_stays_what_it_was(asymmetric, straight):
    layer, x = asymmetric(layer_of("lstm")).bfloat16(), torch.randn(2, 3, 5, dtype=torch.bfloat16)
    for _ in range(2):
        output, final = layer(x)
        assert {part.dtype for part in (output, *final)} == {torch.bfloat16}
    assert straight == [False, True]


def test_what_wants_gradients_may_change(asymmetric, straight):
    layer, x = asymmetric(layer_of("gru")), torch.randn(2, 3, 5)
    assert layer(x)[0].requires_grad
    layer.requires_grad_(requires_grad=False)
    assert not layer(x)[0].requires_grad
    assert layer(x.clone().requires_grad_())[0].requires_grad
    layer.cell.bias.requires_grad_()
    output = layer(x)[0]
    output.sum().backward()
    assert layer.cell.bias.grad is not None
    assert layer.cell.weight_hh.grad is None
    assert straight == [False, True, True, True]


def test_parameters_in_the_place_of_frozen_ones(asymmetric, straight):
    layer, x = asymmetric(layer_of("gru")).requires_grad_(requires_grad=False), torch.randn(2, 3, 5)
    layer(x)
    for name, value in layer.named_parameters():
        given = (2 * value).requires_grad_()
        output = torch.func.functional_call(layer, {name: given}, (x,))[0]
        (found,) = torch.autograd.grad(output.square().sum(), given)
        layer._planner.forget()
        output = torch.func.functional_call(layer, {name: given}, (x,))[0]
        (expected,) = torch.autograd.grad(output.square().sum(), given)
        assert torch.equal(found, expected)
        assert straight[-2:] == [True, False]


def test_options_that_draw_or_remember_go_the_long_way(asymmetric, straight):
    x = torch.randn(2, 3, 4)
    for option in ({"recurrent_dropout": 0.5}, {"zoneout": 0.3}, {"weight_dropout": 0.5}):
        layer = asymmetric(seqlab.LSTM(4, 21, engine="loop", **option))
        assert not torch.equal(layer(x)[0], layer(x)[0])
    assert straight == [False] * 6
    layer = asymmetric(seqlab.GRU(4, 21, engine="compiled", activity_regularizer="l2"))
    for _ in range(2):
        layer(x)
        assert layer.regularization_loss() > 0
    assert straight == [False] * 6
    layer = asymmetric(seqlab.GRU(4, 21, engine="loop"))
    first = layer(x)[0]
    layer.cell.recurrent_dropout = 0.5
    assert not torch.equal(layer(x)[0], first)
    layer.eval()
    assert torch.equal(layer(x)[0], first)


def test_a_cell_that_draws_at_times_is_asked_each_time(straight):
    class AtTimes(seqlab.get("cell", "gru")):
        asked = 0

        def sample_noise(self, *args, **given):
            self.asked += 1
            return super().sample_noise(*args, **given) if self.asked > 1 else None

    layer, x = seqlab.Recurrent(AtTimes(4, 21, recurrent_dropout=0.5)), torch.randn(2, 3, 4)
    vars(layer.cell)["asked"] = 0
    first = layer(x)[0]
    vars(layer.cell)["asked"] = 1
    assert not torch.equal(layer(x)[0], first)
    assert straight == [False, False]


def test_gradients_and_none_are_settled_apart(asymmetric, straight):
    layer, x = asymmetric(layer_of("lstm")), torch.randn(2, 3, 5)
    for _ in range(2):
        expected = layer(x)[0]
        with torch.no_grad():
            output = layer(x)[0]
        assert not output.requires_grad
        torch.testing.assert_close(output, expected.detach())
    assert straight == [False, False, True, True]


def test_a_second_derivative(asymmetric, straight):
    layer, x = asymmetric(layer_of("mgu")).double(), torch.randn(2, 3, 5, dtype=torch.float64)
    layer(x)

    def function(*tensors):
        return layer(*tensors)[0]

    assert torch.autograd.gradgradcheck(function, (x.requires_grad_(),))
    assert straight[1:]
    assert all(straight[1:])


def test_a_run_hears_of_its_engine_each_time(asymmetric, straight):
    layer, x = asymmetric(layer_of("gru", engine="auto")), torch.randn(2, 3, 5)
    for _ in range(3):
        with expected_calls(5) as chosen:
            layer(x)
        assert chosen == {layer.explain(x).engine.name}
    assert straight == [False, True, True]


@pytest.fixture(name="for_inference")
def _for_inference():
    class Inference(LoopEngine):
        differentiable = False

    seqlab.register("engine", "test-inference")(Inference)
    yield "test-inference"
    registry.unregister("engine", "test-inference")


def test_an_engine_without_gradients_is_asked_each_time(straight, for_inference):
    layer, x = layer_of("gru", engine=for_inference), torch.randn(2, 3, 5)
    layer.requires_grad_(requires_grad=False)
    layer(x)
    layer.requires_grad_()
    with pytest.raises(seqlab.EngineError, match="no_grad"):
        layer(x)
    assert straight == [False, False]
