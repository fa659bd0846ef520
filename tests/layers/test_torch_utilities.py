"""Torch's own utilities around layers: pruning, norms of weights, anomalies, many gradients."""

from __future__ import annotations

import warnings

import pytest
import seqlab
import torch
from seqlab import GatedCell, HiddenState
from torch.nn.utils import parametrizations, prune

ENGINES = ("auto", "loop", "fused", "compiled")
MADE = {
    "lstm": lambda engine: seqlab.LSTM(3, 4, engine=engine),
    "stack": lambda engine: seqlab.Stacked(
        [seqlab.Bidirectional(seqlab.LSTM(3, 4, engine=engine)), seqlab.GRU(8, 4, engine=engine)]
    ),
}


def first_cell(layer):
    return next(module for module in layer.modules() if isinstance(module, seqlab.Cell))


def outputs(layer, x):
    """With gradients and without, and where it can, step by step."""
    yield layer(x)[0]
    with torch.no_grad():
        yield layer(x)[0]
    if layer.causal:
        for grad in (True, False):
            with torch.set_grad_enabled(grad):
                running = seqlab.stream(layer)
                yield torch.stack([running.step(x[:, t])[0] for t in range(x.shape[1])], 1)


def assert_follows(layer, cell, scaled):
    """Each run sees the weight as it is then."""
    x = torch.randn(2, 5, 3)
    list(outputs(layer, x))
    for _ in range(2):
        layer(x)[0].sum().backward()
        assert scaled().grad.abs().sum() > 0
        with torch.no_grad():
            scaled().mul_(1.5)
        found = list(outputs(layer, x))
        weight = cell.weight_hh.detach().clone()
        plain = MADE["lstm" if layer.causal else "stack"]("loop")
        own = {name: value for name, value in layer.named_parameters() if "weight_hh_" not in name}
        plain.load_state_dict(
            {k: v for k, v in own.items() if "parametrizations" not in k}, strict=False
        )
        with torch.no_grad():
            first_cell(plain).weight_hh.copy_(weight)
        for output in found:
            torch.testing.assert_close(output.detach(), plain(x)[0].detach(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", MADE)
def test_pruned_weights_are_made_anew_in_each_run(engine, name):
    layer = MADE[name](engine)
    cell = first_cell(layer)
    prune.l1_unstructured(cell, "weight_hh", amount=0.5)
    assert_follows(layer, cell, lambda: cell.weight_hh_orig)
    prune.remove(cell, "weight_hh")
    assert (cell.weight_hh == 0).sum() == cell.weight_hh.numel() // 2


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", MADE)
def test_the_older_norm_of_weights(engine, name):
    layer = MADE[name](engine)
    cell = first_cell(layer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.nn.utils.weight_norm(cell, "weight_hh")
    assert_follows(layer, cell, lambda: cell.weight_hh_g)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm"])
def test_parametrized_weights(engine, norm):
    layer = MADE["lstm"](engine)
    getattr(parametrizations, norm)(layer.cell, "weight_hh")
    layer.eval()
    x = torch.randn(2, 5, 3)
    output = layer(x)[0]
    output.sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())
    plain = seqlab.LSTM(3, 4, engine="loop")
    plain.load_state_dict(layer.state_dict(), strict=False)
    with torch.no_grad():
        plain.cell.weight_hh.copy_(layer.cell.weight_hh)
    torch.testing.assert_close(output, plain(x)[0])


def test_hooks_with_keywords_run_too():
    layer, seen = seqlab.GRU(3, 4), []
    hook = layer.cell.register_forward_pre_hook(
        lambda _cell, inputs, _named: seen.append(inputs[0].shape), with_kwargs=True
    )
    layer(torch.zeros(2, 5, 3))
    hook.remove()
    layer(torch.zeros(2, 5, 3))
    assert seen == [(2, 5, 3)]


class Turned(GatedCell):
    """A recurrent matrix of three numbers and a table, which ``update`` does not read."""

    gates = ("candidate",)
    State = HiddenState

    def make_parameters(self):
        super().make_parameters()
        self.mix = torch.nn.Parameter(torch.full((3,), 0.1))
        self.register_buffer("table", torch.rand(2, 5))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def recurrent_matrix(self):
        return self.weight_hh * self.mix.sum() * self.table.mean()

    def update(self, x, h, state):
        hidden = torch.tanh(x.candidate + h.candidate) - 0.1 * state.hidden
        return hidden, HiddenState(hidden)


def test_parameters_of_any_form_that_the_equations_do_not_read():
    found = []
    for engine in ("loop", "compiled"):
        torch.manual_seed(0)
        layer = seqlab.Recurrent(Turned(3, 4), engine=engine)
        output = layer(torch.randn(2, 5, 3))[0]
        found.append((output, *torch.autograd.grad(output.sum(), list(layer.parameters()))))
    for loop, compiled in zip(*found, strict=True):
        torch.testing.assert_close(loop, compiled)


class Odd(Turned):
    """An ``update`` that reads a vector of another length than H."""

    def update(self, x, h, state):
        hidden = torch.tanh(x.candidate + h.candidate * self.mix.sum()) - state.hidden
        return hidden, HiddenState(hidden)


def test_a_vector_of_another_length_is_refused_by_its_name():
    layer = seqlab.Recurrent(Odd(3, 4), engine="compiled")
    with pytest.raises(seqlab.EngineError, match="reads `mix`, which has 3 numbers"):
        layer(torch.zeros(2, 5, 3))
    assert seqlab.Recurrent(Odd(3, 4))(torch.zeros(2, 5, 3))[0].shape == (2, 5, 4)


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_equations_are_compiled_while_anomalies_are_looked_for():
    layer = seqlab.Recurrent(seqlab.get("cell", "mgu")(3, 5), engine="compiled")
    with torch.autograd.detect_anomaly():
        layer(torch.randn(2, 5, 3))[0].sum().backward()


@pytest.mark.parametrize(
    ("cell", "engine"),
    [("lstm", "fused"), ("lstm", "compiled"), ("min_gru", "scan"), ("lru", "scan"),
     ("mlstm", "scan")],
)  # fmt: skip
@pytest.mark.parametrize("steps", [4, 19])
def test_many_gradients_at_once(cell, engine, steps):
    layer = seqlab.Recurrent(seqlab.get("cell", cell)(3, 4), engine=engine).double()
    x = torch.randn(2, steps, 3, dtype=torch.float64, requires_grad=True)
    wanted = [x, *layer.parameters()]
    output = layer(x)[0]
    given = torch.randn(5, *output.shape, dtype=torch.float64)
    many = torch.autograd.grad(
        output, wanted, given, is_grads_batched=True, retain_graph=True, allow_unused=True
    )
    for row, one in enumerate(given):
        single = torch.autograd.grad(output, wanted, one, retain_graph=True, allow_unused=True)
        for found, expected in zip(many, single, strict=True):
            if expected is not None:
                torch.testing.assert_close(found[row], expected)
