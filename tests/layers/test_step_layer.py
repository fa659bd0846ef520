"""Layers whose step is written out: what their author need not write."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.engines.calls import at_least, coming_calls
from seqlab.errors import EngineError, OptionError, ShapeError
from seqlab.layers.step_layer import turned_forward
from seqlab.testing.sample import holey_mask, normal, random_state, shaken

X, MASK = normal(4, 6, 3, seed=1), holey_mask(4, 6)
MASK[1] = False


class Feedback(seqlab.StepLayer):
    """A layer that sees its input and the output of a second layer one step ago."""

    def __init__(self, lower, upper, **options):
        super().__init__(lower.input_size - upper.output_size, upper.output_size, **options)
        self.lower, self.upper = lower, upper

    def advance(self, x, state, inner):
        seen = torch.cat([x, self.upper.final_output(state[1])], -1)
        between, lower = inner.step(self.lower, seen, state[0])
        output, upper = inner.step(self.upper, between, state[1])
        return output, (lower, upper)

    def final_output(self, state):
        return self.upper.final_output(state[1])


def made(lower=None, upper=None, **options):
    torch.manual_seed(2)
    layer = Feedback(lower or seqlab.LSTM(7, 5), upper or seqlab.GRU(5, 4), **options)
    return shaken(layer, seed=3).double()


def by_hand(layer, x, mask, state, *, reverse=False):
    """Rows alone and steps one by one, with the cells' own ``step``."""
    rows, finals = [], []
    for row in range(len(x)):
        lower, upper = seqlab.map_state(lambda part, row=row: part[row : row + 1], state)
        outputs = [x.new_zeros(1, 4)] * x.shape[1]
        times = range(x.shape[1])
        for t in reversed(times) if reverse else times:
            if mask[row, t]:
                seen = torch.cat([x[row : row + 1, t], upper[0]], -1)
                cell = layer.lower.cell
                between, lower = cell.step(cell.project(seen.unsqueeze(1))[:, 0], lower)
                cell = layer.upper.cell
                outputs[t], upper = cell.step(cell.project(between.unsqueeze(1))[:, 0], upper)
        rows.append(torch.stack(outputs, 1))
        finals.append((lower, upper))
    final = seqlab.map_state(lambda *parts: torch.cat(parts), *finals)
    return torch.cat(rows), final


def slopes(layer, output, final):
    leaves = seqlab.cells.base.leaves(final)
    total = sum((v * normal(*v.shape, seed=k)).sum() for k, v in enumerate([output, *leaves]))
    return torch.autograd.grad(total, list(layer.parameters()))


@pytest.mark.parametrize("reverse", [False, True])
def test_outputs_states_and_gradients_are_those_of_single_rows(reverse):
    layer = made(reverse=reverse)
    state = random_state(layer, 4)
    poisoned = X.masked_fill(~MASK.unsqueeze(-1), float("nan"))
    found = layer(poisoned, state, mask=MASK)
    expected = by_hand(layer, X, MASK, state, reverse=reverse)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(slopes(layer, *found), slopes(layer, *expected))


@pytest.mark.parametrize("reverse", [False, True])
def test_resets_are_rows_of_their_own(reverse):
    layer = made(reverse=reverse)
    reset = torch.zeros(4, 6, dtype=torch.bool)
    reset[0, 2] = reset[3, 5] = True
    output, _ = layer(X, mask=MASK, reset=reset)
    for row, cut in ((0, 2), (3, 5)):
        parts = [
            layer(X[row : row + 1, part], mask=MASK[row : row + 1, part])[0]
            for part in (slice(0, cut), slice(cut, 6))
        ]
        torch.testing.assert_close(output[row : row + 1], torch.cat(parts, 1))


def test_no_steps_and_no_rows_keep_the_state():
    layer = made()
    state = random_state(layer, 4)
    output, final = layer(X[:, :0], state)
    assert output.shape == (4, 0, 4)
    assert all(
        torch.equal(a, b)
        for a, b in zip(*map(seqlab.cells.base.leaves, (state, final)), strict=True)
    )
    assert layer(X[:0])[0].shape == (0, 6, 4)


@pytest.mark.parametrize("engine", ["auto", "compiled"])
def test_a_stream_is_the_run_and_takes_the_steps_of_engines(engine):
    layer = made(seqlab.LSTM(7, 5, engine=engine), seqlab.GRU(5, 4, engine=engine)).eval()
    whole, final = layer(X)
    running = seqlab.stream(layer)
    with torch.no_grad():
        steps = torch.stack([running.step(X[:, t])[0] for t in range(6)], 1)
    torch.testing.assert_close(steps, whole)
    torch.testing.assert_close(running.state, final)
    masked, _ = layer.step(X[:, 0], layer.initial_state(4), mask=MASK[:, 0])
    torch.testing.assert_close(masked, layer(X[:, :1], mask=MASK[:, :1])[0][:, 0])
    layer.reverse_()
    with pytest.raises(EngineError, match="Feedback cannot be streamed: it runs backward"):
        seqlab.stream(layer)


def test_a_run_announces_its_steps(monkeypatch):
    announced, once = [], seqlab.Recurrent.step
    monkeypatch.setattr(
        seqlab.Recurrent, "step", lambda *a, **k: (announced.append(at_least()), once(*a, **k))[1]
    )
    with torch.no_grad(), coming_calls(5):
        made().eval()(X)
    assert set(announced) == {5 * X.shape[1]}


def test_layers_inside_may_be_made_of_layers_and_keep_their_noise():
    lower = seqlab.Stacked([seqlab.GRU(7, 5), seqlab.GRU(5, 5)], dropout=0.5)
    layer = made(lower, seqlab.GRU(5, 4, dropout=0.5)).train()
    torch.manual_seed(5)
    whole, _ = layer(X)
    torch.manual_seed(5)
    noise, state = layer.sample_noise(4, 6, device=X.device, dtype=X.dtype), layer.initial_state(4)
    for t in range(6):
        output, state = layer.step(X[:, t], state, noise.at(t))
        torch.testing.assert_close(output, whole[:, t])
    assert made(lower, seqlab.GRU(5, 4)).eval().sample_noise(
        4, 6, device=X.device, dtype=X.dtype
    ) is None  # fmt: skip


def test_penalties_of_outputs_leave_masked_steps_out():
    options = {"activity_regularizer": "l2"}
    layer = made(seqlab.LSTM(7, 5), seqlab.GRU(5, 4, **options)).train()
    output, _ = layer(X, mask=MASK)
    penalty = layer.upper.cell.activity_regularizer(output) / 4
    torch.testing.assert_close(layer.regularization_loss(), penalty)


def test_a_wrong_step_state_or_input_is_refused_in_words():
    class Forgets(Feedback):
        def advance(self, x, state, inner):
            return super().advance(x, state, inner)[0]

    with pytest.raises(OptionError, match="Forgets gives Tensor for a step, and the output and"):
        Forgets(seqlab.LSTM(7, 5), seqlab.GRU(5, 4))(X.float())
    layer = made()
    with pytest.raises(ShapeError, match=r"Feedback: the state must have 2 parts, got 1 parts"):
        layer(X, (torch.zeros(4, 4),))
    with pytest.raises(ShapeError, match=r"Feedback: the input must be \[B, T, 3\]"):
        layer(X[..., :2])
    with pytest.raises(ShapeError, match=r"Feedback: the input is torch.float32 and the param"):
        layer(X.float())
    backward = made(seqlab.LSTM(7, 5, reverse=True))
    with pytest.raises(EngineError, match="LSTM in a Feedback cannot be streamed: it runs backw"):
        backward(X)
    with pytest.raises(OptionError, match="Feedback goes step by step, and the LSTM inside sees"):
        turned_forward([seqlab.LSTM(7, 5, reverse=True), seqlab.GRU(5, 4)], "Feedback")


def test_it_explains_itself_as_one_layer():
    layer = made()
    assert layer.explain(X).engine.name == "loop"
    assert layer.causal
    assert layer.sides().forward is layer
    assert not made(reverse=True).causal
    assert [type(cell).__name__ for cell in layer.cells()] == ["LSTMCell", "GRUCell"]


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
def test_an_exported_graph_has_one_operator_for_any_length(reverse):
    layer = made(reverse=reverse).eval()
    steps = torch.export.Dim("steps", min=2, max=50)

    class Outputs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x, mask):
            return self.layer(x, mask=mask)[0]

    shapes = {"x": {1: steps}, "mask": {1: steps}}
    with torch.no_grad():
        graph = torch.export.export(Outputs(), (X, MASK), dynamic_shapes=shapes, strict=False)
        for count in (3, 6):
            longer, mask = torch.cat([X, X], 1)[:, :count], torch.cat([MASK, MASK], 1)[:, :count]
            torch.testing.assert_close(graph.module()(longer, mask), layer(longer, mask=mask)[0])
