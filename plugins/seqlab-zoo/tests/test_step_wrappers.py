"""Wrappers that go step by step, against plain loops over rows of their own."""

from __future__ import annotations

import itertools

import pytest
import seqlab
import torch
import torch.nn.functional as F
from seqlab.construct import construct
from seqlab.errors import OptionError
from seqlab.testing.sample import holey_mask, normal, random_state, run_with_gradients, shaken
from seqlab.wrappers.base import LayerFactory
from seqlab_zoo.fast_slow import FastSlow
from seqlab_zoo.multiplicative import Multiplicative

INPUTS, UNITS, ROWS, STEPS = 3, 5, 4, 7
X = normal(ROWS, STEPS, INPUTS, seed=2)
#: Rows with holes, one without a real step, one with a single one, one whole.
MASK = holey_mask(ROWS, STEPS)
MASK[1], MASK[2], MASK[3] = False, torch.arange(STEPS) == 3, True


def build(name, cell="lstm", *outer, **options):
    wrappers = (construct("wrapper", {"name": name, **options}), *outer)
    layer = LayerFactory({"name": cell, "hidden_size": UNITS}, wrappers)(INPUTS)
    return shaken(layer, seed=4).double()


def lstm_step(cell, x, hidden, memory):
    whole = F.linear(x, cell.weight_ih, cell.bias) + F.linear(hidden, cell.weight_hh)
    i, f, g, o = whole.chunk(4)
    memory = f.sigmoid() * memory + i.sigmoid() * g.tanh()
    return o.sigmoid() * memory.tanh(), memory


def gru_step(cell, x, seen, hidden):
    """``reset_after``; the products are of what is seen."""
    bias = cell.bias if cell.recurrent_bias is None else cell.recurrent_bias
    own = dict(zip(cell.gates, F.linear(x, cell.weight_ih, cell.bias).chunk(3), strict=True))
    other = dict(zip(cell.gates, F.linear(seen, cell.weight_hh, bias).chunk(3), strict=True))
    r, z = ((own[g] + other[g]).sigmoid() for g in ("reset", "update"))
    candidate = (own["candidate"] + r * other["candidate"]).tanh()
    return z * hidden + (1 - z) * candidate


def fast_slow(layer, x, state):
    (hidden, memory), slow = state.fast, list(state.slow)
    found = []
    for x_t in x:
        first, second, *others = layer.fast
        hidden, memory = lstm_step(first.cell, x_t, hidden, memory)
        slow = list(lstm_step(layer.slow.cell, hidden, *slow))
        hidden, memory = lstm_step(second.cell, slow[0], hidden, memory)
        for other in others:
            hidden, memory = lstm_step(other.cell, x_t.new_zeros(1), hidden, memory)
        found.append(hidden)
    return found, [hidden, memory, *slow]


def multiplicative(layer, x, state):
    parts, found = list(state), []
    for x_t in x:
        seen = layer.input_factor(x_t) * layer.state_factor(parts[0])
        if len(parts) == 1:
            parts = [gru_step(layer.layer.cell, x_t, seen, parts[0])]
        else:
            parts = list(lstm_step(layer.layer.cell, x_t, seen, parts[1]))
        found.append(parts[0])
    return found, parts


def by_hand(layer, plain, state, *, reverse):
    """Outputs and final state, each row alone, its real steps in the order of running."""
    leaves = seqlab.cells.base.leaves
    outputs, finals = X.new_zeros(ROWS, STEPS, UNITS), []
    for row in range(ROWS):
        own = seqlab.map_state(lambda part, row=row: part[row], state)
        times = MASK[row].nonzero().squeeze(1).tolist()
        times = times[::-1] if reverse else times
        found, final = plain(layer, [X[row, t] for t in times], own)
        for t, value in zip(times, found, strict=True):
            outputs = outputs.index_put((torch.tensor(row), torch.tensor(t)), value)
        finals.append(final if times else leaves(own))
    return outputs, [torch.stack(parts) for parts in zip(*finals, strict=True)]


CASES = [
    ("fast_slow", "lstm", {"fast_cells": 2, "slow_cell": {"hidden_size": 4}}, fast_slow),
    ("fast_slow", "lstm", {"fast_cells": 4}, fast_slow),
    ("multiplicative", "lstm", {}, multiplicative),
    ("multiplicative", "gru", {"use_bias": True}, multiplicative),
]


@pytest.mark.parametrize(("case", "reverse"), list(itertools.product(CASES, [False, True])))
def test_outputs_states_and_gradients_are_those_of_a_plain_loop(case, reverse):
    name, cell, options, plain = case
    layer = build(name, cell, **options)
    if reverse:
        layer.reverse_()
    state = random_state(layer, ROWS)
    poisoned = X.masked_fill(~MASK.unsqueeze(-1), float("nan"))
    output, final = layer(poisoned, state, mask=MASK)
    expected, last = by_hand(layer, plain, state, reverse=reverse)
    found = [output, *seqlab.cells.base.leaves(final)]
    weights = list(layer.parameters())
    slopes = []
    for values in (found, [expected, *last]):
        weighed = sum((v * normal(*v.shape, seed=k)).sum() for k, v in enumerate(values))
        slopes.append(torch.autograd.grad(weighed, weights, allow_unused=True))
    torch.testing.assert_close(found, [expected, *last])
    for ours, theirs in zip(*slopes, strict=True):
        wanted = torch.zeros_like(ours) if theirs is None else theirs
        torch.testing.assert_close(ours, wanted)


def test_around_an_lstm_it_is_the_multiplicative_lstm():
    layer = build("multiplicative", use_bias=True)
    cell = shaken(seqlab.get("cell", "multiplicative_lstm")(INPUTS, UNITS), seed=8).double()
    with torch.no_grad():
        inner, first = layer.layer.cell, UNITS
        layer.input_factor.weight.copy_(cell.weight_ih[:first])
        layer.input_factor.bias.copy_(cell.bias[:first])
        layer.state_factor.weight.copy_(cell.weight_hh[:first])
        layer.state_factor.bias.copy_(cell.recurrent_bias[:first])
        inner.weight_ih.copy_(cell.weight_ih[first:])
        inner.weight_hh.copy_(cell.weight_hh[first:])
        inner.bias.copy_(cell.bias[first:] + cell.recurrent_bias[first:])
    expected = run_with_gradients(seqlab.Recurrent(cell, engine="loop"), X, mask=MASK)
    actual = run_with_gradients(layer, X, mask=MASK)
    torch.testing.assert_close(actual.output, expected.output)
    torch.testing.assert_close(tuple(actual.state), tuple(expected.state))
    names = ("input_factor.weight", "layer.cell.weight_ih")
    joined = torch.cat([actual.gradients[name] for name in names])
    torch.testing.assert_close(joined, expected.gradients["cell.weight_ih"])


def test_a_cell_that_is_not_gated_is_given_the_rescaled_state():
    torch.manual_seed(1)
    layer = Multiplicative(seqlab.Recurrent(seqlab.get("cell", "lmu")(3, 5))).double()
    cell, state = layer.layer.cell, random_state(layer, ROWS)
    seen = layer.input_factor(X[:, 0]) * layer.state_factor(state[0])
    projected = seqlab.engines.over_time.at_time(cell.project(X[:, :1]), 0)
    expected, _ = cell.step(projected, type(state)(seen, *state[1:]))
    torch.testing.assert_close(layer.step(X[:, 0], state)[0], expected)


@pytest.mark.parametrize("name", ["fast_slow", "multiplicative"])
def test_both_directions_and_stacks_are_outside(name):
    pair = construct("wrapper", "bidirectional"), construct("wrapper", "stacked")
    layer = build(name, "gru", *pair)
    assert [part.input_size for part in layer.layers] == [INPUTS, 2 * UNITS]
    assert [part.backward_layer.reverse for part in layer.layers] == [True, True]
    whole, _ = layer(X, mask=MASK)
    assert (whole[1] == 0).all()
    row, _ = layer(X[:1, MASK[0]])
    torch.testing.assert_close(whole[:1, MASK[0]], row)


def test_dropout_and_zoneout_draw_once_a_sequence_and_step_as_the_run():
    wrapper = construct("wrapper", {"name": "fast_slow", "fast_cells": 3})
    cell = {"name": "gru", "hidden_size": UNITS, "recurrent_dropout": 0.4, "zoneout": 0.3}
    layer = shaken(LayerFactory(cell, (wrapper,))(INPUTS), seed=4).double().train()
    torch.manual_seed(6)
    whole, final = layer(X)
    torch.manual_seed(6)
    noise = layer.sample_noise(ROWS, STEPS, device=X.device, dtype=X.dtype)
    state, steps = layer.initial_state(ROWS), []
    for t in range(STEPS):
        output, state = layer.step(X[:, t], state, noise.at(t))
        steps.append(output)
    torch.testing.assert_close(torch.stack(steps, 1), whole)
    torch.testing.assert_close(state.slow.hidden, final.slow.hidden)
    assert not torch.equal(whole, layer.eval()(X)[0])


def test_a_trained_start_is_the_first_fast_cells_and_the_slow_ones():
    wrapper = construct("wrapper", {"name": "fast_slow", "fast_cells": 3})
    cell = {"name": "gru", "hidden_size": UNITS}
    layer = LayerFactory(cell, (wrapper,), initial_state="trained")(INPUTS)
    names = [name for name, _ in layer.named_parameters() if "initial" in name]
    assert names == ["fast.0.initial.0", "slow.initial.0"]
    layer(torch.zeros(2, 3, INPUTS))[0].sum().backward()
    grads = [layer.get_parameter(name).grad for name in names]
    assert all(g is not None and g.abs().max() > 0 for g in grads)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: construct("wrapper", {"name": "fast_slow", "fast_cells": 1}), "at least 2"),
        (lambda: FastSlow([seqlab.GRU(3, 4)], seqlab.GRU(4, 4)), "at least two fast layers, got 1"),
        (
            lambda: FastSlow([seqlab.GRU(3, 4), seqlab.GRU(5, 4)], seqlab.GRU(4, 6)),
            r"the fast layers must take \[3, 6\] features, got \[3, 5\]",
        ),
        (
            lambda: FastSlow([seqlab.GRU(3, 4), seqlab.LSTM(4, 4)], seqlab.GRU(4, 4)),
            r"hand one state on, and theirs are of widths \[\[\(4,\)\], \[\(4,\), \(4,\)\]\]",
        ),
        (
            lambda: FastSlow(
                [seqlab.Bidirectional(seqlab.GRU(3, 4)), seqlab.GRU(4, 4)], seqlab.GRU(8, 4)
            ),
            "FastSlow goes step by step, and the Bidirectional inside sees later steps: put FastSl",
        ),
        (
            lambda: Multiplicative(seqlab.Bidirectional(seqlab.GRU(3, 4))),
            "around one cell, and inside is a Bidirectional: name it before the other wrappers",
        ),
        (
            lambda: Multiplicative(seqlab.Recurrent(seqlab.get("cell", "ind_rnn")(3, 4))),
            "rescales the hidden state that a matrix multiplies, and IndRNN multiplies none",
        ),
        (
            lambda: Multiplicative(seqlab.Recurrent(seqlab.get("cell", "gla")(3, 4))),
            "and GLA multiplies none: use a cell that does, such as gru$",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_words(make, message):
    with pytest.raises(OptionError, match=message):
        make()
