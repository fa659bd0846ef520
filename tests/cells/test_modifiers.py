"""Modifiers: the equation by hand, every engine, and what is refused."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.cells.modifiers import MultiplicativeIntegration
from seqlab.errors import OptionError
from seqlab.introspection.card import cell_card
from seqlab.testing import Settings, check_cell
from seqlab.testing.sample import holey_mask, normal, random_state, run_with_gradients, shaken

MI = "multiplicative_integration"


def layer_of(name, engine="loop", **options):
    torch.manual_seed(3)
    cell = seqlab.get("cell", name)(3, 5, **{"modifier": MI, **options})
    return shaken(seqlab.Recurrent(cell, engine=engine), seed=4).double().eval()


def summed(cell, x, h, gate):
    """The sum of Wu et al. for one gate."""
    modifier = cell.modifier
    alpha, beta_x, beta_h = (modifier.vector(n, gate) for n in ("alpha", "beta_x", "beta_h"))
    return alpha * x * h + beta_x * x + beta_h * h


def products(cell, x, hidden):
    inputs = torch.nn.functional.linear(x, cell.weight_ih, cell.bias).chunk(len(cell.gates), -1)
    recurrent = torch.nn.functional.linear(hidden, cell.weight_hh).chunk(len(cell.gates), -1)
    return dict(zip(cell.gates, inputs, strict=True)), dict(zip(cell.gates, recurrent, strict=True))


def test_an_lstm_has_the_sums_of_the_paper():
    layer = layer_of("lstm")
    cell, x, state = layer.cell, normal(2, 3, seed=1), random_state(layer, 2)
    u, v = products(cell, x, state.hidden)
    i, f, o = (summed(cell, u[g], v[g], g).sigmoid() for g in ("input", "forget", "output"))
    memory = f * state.cell + i * summed(cell, u["candidate"], v["candidate"], "candidate").tanh()
    output, after = layer.step(x, state)
    torch.testing.assert_close(after.cell, memory)
    torch.testing.assert_close(output, o * memory.tanh())


def test_a_gru_has_them_in_both_products():
    layer = layer_of("gru", reset_after=False)
    cell, x, state = layer.cell, normal(2, 3, seed=1), random_state(layer, 2)
    u, v = products(cell, x, state.hidden)
    r, z = (summed(cell, u[g], v[g], g).sigmoid() for g in ("reset", "update"))
    matrix = cell.gate_rows(cell.weight_hh, "candidate")
    second = torch.nn.functional.linear(r * state.hidden, matrix)
    candidate = summed(cell, u["candidate"], second, "candidate").tanh()
    output, _ = layer.step(x, state)
    torch.testing.assert_close(output, z * state.hidden + (1 - z) * candidate)


def test_with_alpha_zero_and_betas_one_a_cell_is_as_it_was():
    plain = {"name": MI, "alpha": 0.0, "beta_x": 1.0, "beta_h": 1.0}
    torch.manual_seed(3)
    changed = seqlab.LSTM(3, 5, modifier=plain)
    torch.manual_seed(3)
    torch.testing.assert_close(
        changed(torch.ones(2, 4, 3))[0], seqlab.LSTM(3, 5, engine="loop")(torch.ones(2, 4, 3))[0]
    )


def test_compiled_code_equals_the_loop():
    x, mask = normal(4, 7, 3, seed=8), holey_mask(4, 7)
    layers = [layer_of("lstm", one, layer_norm=True, zoneout=0.2) for one in ("loop", "compiled")]
    expected, actual = (run_with_gradients(layer, x, mask=mask) for layer in layers)
    torch.testing.assert_close(actual.output, expected.output)
    for key, gradient in expected.gradients.items():
        torch.testing.assert_close(actual.gradients[key], gradient)


@pytest.mark.parametrize("name", ["gru", "rnn"])
def test_the_operator_for_export_equals_the_loop(name):
    x, mask = normal(4, 7, 3, seed=8), holey_mask(4, 7)
    with torch.no_grad():
        expected, actual = (layer_of(name, one)(x, mask=mask) for one in ("loop", "export"))
    torch.testing.assert_close(actual, expected)


def test_compiled_steps_and_gradients_of_gradients_are_the_loops():
    x = normal(2, 5, 3, seed=9)
    found = []
    for engine in ("loop", "compiled"):
        layer = layer_of("rnn", engine)
        given = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(layer(given)[0].sum(), given, create_graph=True)
        found.append(torch.autograd.grad(slope.square().sum(), list(layer.parameters())))
        stream = seqlab.stream(layer)
        with torch.no_grad():
            steps = torch.stack([stream.step(x[:, t])[0] for t in range(5)], 1)
        torch.testing.assert_close(steps, layer(x)[0])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_parameter_that_changes_is_no_constant_of_compiled_code():
    layer = layer_of("rnn", "compiled")
    x = normal(2, 5, 3, seed=9)
    before = layer(x)[0]
    with torch.no_grad():
        layer.cell.modifier.alpha_candidate.add_(1.0)
    assert (layer(x)[0] - before).abs().max() > 1e-3


#: Streams, parts of a sequence, both directions of time, stacks, state dicts.
WHOLE = (
    "stream_equals_whole", "split_equals_whole", "reversed_equals_flipped", "wrapper_bidirectional",
    "wrapper_stacked", "state_dict_round_trip",
)  # fmt: skip


def passes(name, only):
    results = check_cell(name, modifier=MI, settings=Settings(only=only))
    ran = {result.name: result for result in results if result.name in only}
    assert sorted(ran) == sorted(only)
    assert all(result.passed for result in ran.values()), [str(r) for r in ran.values()]


@pytest.mark.slow
def test_a_cell_with_a_modifier_is_whole_in_layers():
    passes("gru", WHOLE)


@pytest.mark.slow
def test_a_bundle_keeps_the_modifier_and_its_vectors():
    passes("lstm", ("bundle_round_trip",))


def test_no_vendors_kernel_takes_it():
    why = seqlab.LSTM(3, 4, modifier=MI).cell.vendor_kernel()
    assert why.name is None
    assert why.reason.endswith("no modifier")


def test_two_layers_of_a_stack_learn_their_own_vectors():
    layer = seqlab.LSTM(3, 4, modifier=MI)
    with torch.no_grad():
        layer.cell.modifier.alpha_input.fill_(7.0)
    assert layer.fresh().cell.modifier.alpha_input.tolist() == [1.0] * 4


def test_the_recorded_equations_have_the_vectors():
    card = cell_card("rnn", {"modifier": MI})
    assert all(f"{name}_candidate" in str(card) for name in ("alpha", "beta_x", "beta_h")), card


class Sum(MultiplicativeIntegration):
    def modify(self, x, h, state):  # noqa: ARG002  # the contract's
        return x.candidate + h.candidate


@pytest.mark.parametrize(
    ("cell", "modifier", "message"),
    [
        ("lstm", "multiplicative", "modifier: unknown modifier 'multiplicative'"),
        ("lstm", {"name": MI, "alpa": 1.0}, "modifier: .* has no option 'alpa'"),
        ("lstm", {"name": MI, "alpha": "big"}, "modifier.alpha: expected a number"),
        ("lstm", 3, "modifier: expected the name of a modifier or its class, got 3"),
        ("ind_rnn", MI, "modifier 'multiplicative_integration' needs a gate with .* for none"),
    ],
)
def test_a_wrong_modifier_is_refused_by_name(cell, modifier, message):
    with pytest.raises(OptionError, match=message):
        seqlab.get("cell", cell)(3, 4, modifier=modifier)


def test_what_is_no_pair_of_gates_is_refused_where_it_is_made():
    with pytest.raises(OptionError, match=r"Sum.modify gives Tensor, .* write `return x, h`"):
        seqlab.RNN(3, 4, modifier=Sum, engine="loop")(torch.zeros(1, 2, 3))


class OwnStep(seqlab.get("cell", "rnn")):
    def step_with(self, weight, projected_t, state, noise=None):
        return super().step_with(weight, 0.5 * projected_t, state, noise)


class Below(OwnStep):
    """Its parent's step is no better."""


@pytest.mark.parametrize("cell", [OwnStep, Below])
def test_a_cell_with_a_step_of_its_own_refuses_a_modifier(cell):
    message = r"modifier: OwnStep has a step_with of its own, .*; write the equations in update"
    with pytest.raises(OptionError, match=message):
        cell(3, 4, modifier=MI)
    assert cell(3, 4).modifier is None
