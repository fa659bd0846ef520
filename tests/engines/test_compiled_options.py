"""The compiled engine with ``proj_size`` and ``untied_dropout`` equals the loop."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.cells.base import HiddenState
from torch import Tensor

from projected_cells import Aside, Fed


class Reading(seqlab.GatedCell):
    """Says that the product alone reads its state, and reads it."""

    gates = ("write",)
    State = HiddenState
    projects_state = True

    def update(self, x, h, state):
        hidden = 0.5 * state.hidden + torch.tanh(x.write + h.write)
        return hidden, HiddenState(hidden)


CELLS = {
    "lstm": ("lstm", {}),
    "lstm-peepholes": ("lstm", {"peepholes": True, "coupled": True}),
    "gru": ("gru", {}),
    "gru-two-products": ("gru", {"reset_after": False}),
    "rnn": ("rnn", {}),
    "mgu": ("mgu", {}),
    "fed": (Fed, {}),
    "aside": (Aside, {}),
}
UNTIED = {"recurrent_dropout": 0.4, "untied_dropout": True}
ALL = {**UNTIED, "layer_norm": True, "zoneout": 0.3, "dropout": 0.2, "weight_dropout": 0.2}
OPTIONS = {
    "narrow": {"proj_size": 3},
    "wide": {"proj_size": 9, "recurrent_dropout": 0.3, "zoneout": 0.4},
    "untied": UNTIED,
    "both": {"proj_size": 3, **UNTIED},
}
#: Each cell and each option in the ordinary tests; every pair of them in the long ones.
ORDINARY = {
    ("lstm", "narrow"), ("gru-two-products", "narrow"), ("rnn", "wide"), ("gru", "untied"),
    ("lstm-peepholes", "both"), ("mgu", "both"), ("aside", "narrow"), ("fed", "all"),
}  # fmt: skip
CASES = [(cell, option) for cell in CELLS for option in OPTIONS]
CASES += [(cell, "all") for cell in ("lstm", "gru-two-products", "fed")]
CASES = [
    case if case in ORDINARY else pytest.param(*case, marks=pytest.mark.slow) for case in CASES
]
OPTIONS["all"] = {"proj_size": 3, **ALL}


def pair(name, options, asymmetric, size=(5, 7), dtype=torch.float64, *, reverse=False, scale=0.5):
    cell, given = CELLS[name]
    make = seqlab.get("cell", cell) if isinstance(cell, str) else cell
    layers = [
        seqlab.Recurrent(make(*size, **given, **options), engine=engine, reverse=reverse).to(dtype)
        for engine in ("loop", "compiled")
    ]
    asymmetric(layers[0], scale)
    layers[1].load_state_dict(layers[0].state_dict())
    return layers


def inputs(layer, batch, steps, features, dtype=torch.float64):
    x = torch.randn(batch, steps, features, dtype=dtype, requires_grad=True)
    return x, [torch.randn_like(s).requires_grad_() for s in layer.initial_state(batch)]


def results(layer, x, state, mask):
    """Output, final state and the gradients of the input, the initial state and all parameters."""
    torch.manual_seed(5)
    output, final = layer(x, state, mask=mask)
    weight = torch.linspace(-1, 2, output.numel(), dtype=x.dtype).view_as(output)
    loss = (output * weight).sum() + sum((1 + i) * part.sin().sum() for i, part in enumerate(final))
    sources = [x, *state, *layer.parameters()]
    grads = torch.autograd.grad(loss, sources, allow_unused=True)
    zeros = [torch.zeros_like(s) if g is None else g for g, s in zip(grads, sources, strict=True)]
    return [output, *final, *zeros]


def assert_equal(ours, reference, **tolerance):
    for mine, theirs in zip(ours, reference, strict=True):
        torch.testing.assert_close(mine, theirs, **tolerance)


def holes(batch, steps):
    """Rows of no step, of one, of the last alone, and with holes."""
    mask = torch.rand(batch, steps) > 0.4
    mask[0], mask[1], mask[2] = False, torch.arange(steps) < 1, torch.arange(steps) == steps - 1
    return mask


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("name", "option"), CASES)
def test_equals_loop(name, option, reverse, masked, asymmetric):
    loop, compiled = pair(name, OPTIONS[option], asymmetric, reverse=reverse)
    x, state = inputs(loop, 5, 6, 5)
    mask = holes(5, 6) if masked else None
    for training in (True, False):
        expected = results(loop.train(training), x, state, mask)
        ours = results(compiled.train(training), x, state, mask)
        assert_equal(ours, expected, rtol=1e-10, atol=1e-10)
        with torch.no_grad():
            torch.manual_seed(5)
            output, final = compiled(x, state, mask=mask)
        assert_equal((output, *final), expected[: 1 + len(final)], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("batch_steps", [(1, 1), (19, 5)])
@pytest.mark.parametrize("size", [(3, 33, 17), (2, 64, 40), (4, 1, 1)])
@pytest.mark.parametrize(
    "name",
    [
        "lstm",
        "gru-two-products",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("gru", "rnn", "mgu")),
    ],
)
def test_float32_at_other_sizes_and_with_threads(name, size, batch_steps, asymmetric):
    torch.set_num_threads(2)
    features, hidden, projected = size
    options = {"proj_size": projected, **UNTIED}
    # smaller weights for more units, so that rounding is not amplified from step to step
    loop, compiled = pair(
        name, options, asymmetric, (features, hidden), torch.float32, scale=hidden**-0.5
    )
    x, state = inputs(loop, *batch_steps, features, torch.float32)
    assert_equal(
        results(compiled, x, state, None), results(loop, x, state, None), rtol=5e-4, atol=5e-4
    )


@pytest.mark.parametrize(
    "name",
    [
        "lstm",
        "gru-two-products",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("gru", "rnn", "mgu")),
    ],
)
def test_second_derivatives(name, asymmetric):
    _, layer = pair(name, OPTIONS["both"], asymmetric, (2, 3))
    x, state = inputs(layer, 3, 3, 2)
    mask = torch.tensor([[True, True, True], [True, False, True], [False, False, False]])

    def run(*tensors):
        torch.manual_seed(5)
        named = {"cell." + name: tensor for name, tensor in zip(names, tensors, strict=False)}
        given = tensors[len(names) :]
        keywords = {"mask": mask}
        output, final = torch.func.functional_call(layer, named, (given[0], given[1:]), keywords)
        return (output, *final)

    names = [name for name, _ in layer.cell.named_parameters()]
    tensors = [*layer.cell.parameters(), x, *state]
    assert torch.autograd.gradcheck(run, tensors)
    assert torch.autograd.gradgradcheck(run, tensors)


def test_autocast_and_bfloat16_give_the_loop_s_types(asymmetric):
    loop, compiled = pair("lstm", {"proj_size": 3}, asymmetric, dtype=torch.float32)
    x = torch.randn(3, 4, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected, output = loop(x)[0], compiled(x)[0]
        output.float().sum().backward()
    torch.testing.assert_close(output.float(), expected.float(), rtol=0.05, atol=0.05)
    assert compiled.cell.weight_hr.grad.dtype == torch.float32
    loop, compiled = loop.bfloat16(), compiled.bfloat16()
    expected, output = loop(x.bfloat16())[0], compiled(x.bfloat16())[0]
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output, expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", ["lstm", "gru-two-products"])
def test_memory_of_masked_steps_may_hold_anything(name, asymmetric, monkeypatch):
    """New memory that is not a number must not reach a sum over all steps."""
    loop, compiled = pair(name, OPTIONS["both"], asymmetric)
    x, state = inputs(loop, 5, 6, 5)
    mask = holes(5, 6)
    expected = results(loop, x, state, mask)
    new = Tensor.new_empty
    monkeypatch.setattr(Tensor, "new_empty", lambda *args: new(*args).fill_(float("nan")))
    assert_equal(results(compiled, x, state, mask), expected)


def test_a_narrowed_state_that_the_equations_read_is_refused():
    layer = seqlab.Recurrent(Reading(3, 4, proj_size=4), engine="compiled")
    with pytest.raises(seqlab.errors.EngineError, match="the state field that proj_size narrows"):
        layer(torch.zeros(1, 2, 3))
