"""Triton's kernels that are launched at each step equal the loop: ``layer_norm``, ``proj_size``,
more than two recurrent products.

As tests/gpu/test_triton_cells.py, a CPU runs them by Triton's interpreter.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
import seqlab
import torch
from seqlab.engines.triton import engine
from seqlab.testing.sample import normal, padded_mask, shaken
from test_triton_cells import Diagonal, Odd, Parts, Passing, results
from torch import Tensor

from projected_cells import Aside, Fed

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning"),
]


class Chain(seqlab.GatedCell):
    """Three products, of which the first makes no gate, and a vector that the second needs."""

    class State(NamedTuple):
        hidden: Tensor
        cell: Tensor

    gates = ("new", "kept", "last")
    products = {"cell": ("new", "kept"), "mixed": ("last",)}  # noqa: RUF012
    vectors = {"slope": "ones"}  # noqa: RUF012

    def mixed(self, x, h, state):
        return torch.sigmoid(x.new + h.kept) * state.hidden * self.slope

    def update(self, x, h, state):
        cell = torch.tanh(x.kept + h.new) + torch.sigmoid(h.kept) * state.cell
        return cell * state.hidden, self.State(torch.cos(cell + h.last), torch.tanh(cell))


DROPPED = {"recurrent_dropout": 0.4, "untied_dropout": True, "zoneout": 0.3}
ALL = {**DROPPED, "layer_norm": True, "dropout": 0.2, "weight_dropout": 0.2}
CASES = {
    "narrow lstm": ("lstm", {"proj_size": 3}),
    "wide lstm": ("lstm", {"proj_size": 9, "zoneout": 0.4, "recurrent_dropout": 0.3}),
    "narrow lstm with peepholes": ("lstm", {"proj_size": 3, "peepholes": True, **DROPPED}),
    "narrow gru": ("gru", {"proj_size": 3}),
    "narrow gru with two products": ("gru", {"proj_size": 3, "reset_after": False, **DROPPED}),
    "narrow output": (Aside, {"proj_size": 3}),
    "narrow state": (Fed, {"proj_size": 3, **ALL}),
    "normal lstm": ("lstm", {"layer_norm": True}),
    "normal rnn without bias": ("rnn", {"layer_norm": True, "use_bias": False}),
    "normal gru": ("gru", {"layer_norm": True, **DROPPED}),
    "normal gru with two products": (
        "gru", {"layer_norm": True, "reset_after": False, "recurrent_dropout": 0.3},
    ),
    "normal without a matrix": (Diagonal, {"layer_norm": True}),
    "normal parts": (Parts, {"layer_norm": True}),
    "normal odd": (Odd, {"layer_norm": True}),
    "normal passing": (Passing, {"layer_norm": True, "zoneout": 0.2}),
    "chain": (Chain, {}),
    "normal chain": (Chain, {"layer_norm": True, **DROPPED}),
    "narrow chain": (Chain, {"proj_size": 2}),
    "everything": ("lstm", {"proj_size": 3, **ALL}),
}  # fmt: skip
#: What the ordinary tests run, with few rows, units and steps.
ORDINARY = ["narrow lstm", "narrow gru with two products", "normal lstm", "narrow state"]


def pair(device, case, size, dtype=torch.float64, *, reverse=False, **more):
    cell, options = CASES[case]
    options = {**options, **more}
    make = seqlab.get("cell", cell) if isinstance(cell, str) else cell
    layers = [
        seqlab.Recurrent(make(*size, **options), engine=name, reverse=reverse).to(device, dtype)
        for name in ("loop", "triton")
    ]
    shaken(layers[0].cpu()).to(device)
    layers[1].load_state_dict(layers[0].state_dict())
    return layers


def inputs(device, layer, rows, steps):
    x = normal(rows, steps, layer.input_size, seed=1).to(device).requires_grad_()
    widths = enumerate(layer.cell.state_sizes)
    state = [normal(rows, width, seed=2 + i).to(device).requires_grad_() for i, width in widths]
    return x, state


def holes(rows, steps):
    """Rows of no step, of one, of the last alone, of all, and with holes."""
    mask = padded_mask([0, 1, 0, steps, *[steps] * (rows - 4)], steps)
    mask[2, -1] = True
    mask[4:, 1::2] = False
    return mask


def assert_equal(ours, reference, tolerance=1e-10):
    for mine, theirs in zip(ours, reference, strict=True):
        assert (mine is None) or mine.isfinite().all()
        if theirs is None:
            assert mine is None or not mine.any()
        else:
            torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_equals_the_loop(device, case, reverse):
    loop, kernels = pair(device, case, (5, 33) if reverse else (5, 7), reverse=reverse)
    x, state = inputs(device, loop, 6, 5)
    for mask in (None, holes(6, 5).to(device)):
        for training in (True, False):
            expected = results(loop.train(training), x, state, mask)
            assert_equal(results(kernels.train(training), x, state, mask), expected)
        with torch.no_grad():
            output, final = kernels(x, state, mask=mask)
        assert_equal((output, *final), expected[: 1 + len(final)])


@pytest.mark.parametrize("case", ORDINARY)
def test_ordinary(device, case):
    reverse = ORDINARY.index(case) % 2 == 0
    loop, kernels = pair(device, case, (2, 5), reverse=reverse)
    x, state = inputs(device, loop, 5, 3)
    mask = holes(5, 3).to(device)
    expected = results(loop, x, state, mask)
    assert_equal(results(kernels, x, state, mask), expected)
    if case in {"narrow lstm", "normal lstm"}:  # without masks the state's memory is the output
        assert_equal(results(kernels, x, state, None), results(loop, x, state, None))


@pytest.mark.parametrize("case", ["normal gru", "chain"])
def test_blocks_are_the_loops(device, case):
    loop, kernels = pair(device, case, (2, 6), heads=3)
    x, state = inputs(device, loop, 5, 3)
    mask = holes(5, 3).to(device)
    assert_equal(results(kernels, x, state, mask), results(loop, x, state, mask))


@pytest.mark.parametrize(
    "case", ["narrow lstm", "narrow gru with two products", "normal lstm", "everything"]
)
def test_in_float32_by_many_programs(device, monkeypatch, case):
    monkeypatch.setattr(engine, "_chip", lambda _: (132, 232_448))
    loop, kernels = pair(device, case, (3, 150))
    x, state = inputs(device, loop, 9, 2)
    mask = holes(9, 2).to(device)
    expected = results(loop.eval(), x, state, mask)
    assert_equal(results(kernels.eval(), x, state, mask), expected)
    single = [part.detach().float().requires_grad_() for part in (x, *state)]
    ours = results(kernels.float(), single[0], single[1:], mask)
    for mine, theirs in zip(ours, expected, strict=True):
        scale = theirs.abs().max().clamp(min=1)
        assert ((mine - theirs).abs() / scale).max() < 1e-4


@pytest.mark.parametrize("case", ["narrow lstm", "narrow gru", "everything", "chain"])
def test_memory_of_masked_steps_may_hold_anything(device, monkeypatch, case):
    loop, kernels = pair(device, case, (2, 5))
    x, state = inputs(device, loop, 6, 4)
    mask = holes(6, 4).to(device)
    expected = results(loop, x, state, mask)
    new = Tensor.new_empty

    def filled(*sizes, **form):
        made = new(*sizes, **form)
        return made.fill_(float("nan")) if made.is_floating_point() else made

    monkeypatch.setattr(Tensor, "new_empty", filled)
    assert_equal(results(kernels, x, state, mask), expected)


def test_what_needs_no_gradient_gets_none(device):
    gradients = []
    for layer in pair(device, "everything", (2, 5)):
        frozen = [layer.cell.weight_hr, layer.cell.norm_hh, layer.cell.weight_hh]
        for parameter in frozen:
            parameter.requires_grad = False
        x, state = inputs(device, layer, 3, 2)
        torch.manual_seed(3)
        layer(x.detach(), [s.detach() for s in state])[0].sum().backward()
        assert all(parameter.grad is None for parameter in frozen)
        gradients.append([p.grad for p in layer.parameters() if p.requires_grad])
    assert_equal(*gradients)


@pytest.mark.parametrize("case", ["narrow lstm", "normal gru"])
def test_gradients_of_gradients_are_the_loops(device, case):
    found = []
    for layer in pair(device, case, (2, 4)):
        x, state = inputs(device, layer.eval(), 2, 2)
        output, _ = layer(x, state)
        (first,) = torch.autograd.grad(output.sin().sum(), x, create_graph=True)
        wanted = [x, *layer.parameters()]
        found.append(torch.autograd.grad(first.square().sum(), wanted, allow_unused=True))
    assert_equal(*found)


def test_products_are_in_the_type_that_autocast_asks_for(device):
    loop, kernels = pair(device, "everything", (3, 6), torch.float32)
    x, state = inputs(device, loop, 5, 3)
    single = [part.detach().float().requires_grad_() for part in (x, *state)]
    found = []
    for layer in (loop.eval(), kernels.eval()):
        with torch.autocast(device.type, dtype=torch.bfloat16):
            found.append([r.float() for r in results(layer, single[0], single[1:], None)])
    exact = results(kernels, single[0], single[1:], None)
    for mine, theirs, full in zip(found[1], found[0], exact, strict=True):
        scale = theirs.abs().max().clamp(min=1)
        assert ((mine - theirs).abs() / scale).max() < 0.05
        assert full.shape == mine.shape
    assert not torch.equal(found[1][0], exact[0])


@pytest.mark.parametrize("options", [{}, {"layer_norm": True}, {"proj_size": 2}])
def test_ordinary_places_beyond_32_bits(device, options, tmp_path, monkeypatch):
    """Files with holes stand for the memory of a long input and of its output's gradient."""
    if device.type != "cpu":
        pytest.skip("a GPU's memory has no holes")
    far, once = 2**30, engine.TritonEngine.projected

    def apart(value, name):
        """The same values, each time far from the one before."""
        memory = torch.from_file(str(tmp_path / name), shared=True, size=2 * far + value.numel())
        return memory.as_strided(value.shape, (value.shape[2], far, 1)).copy_(value)

    layer = seqlab.Recurrent(seqlab.get("cell", "lstm")(2, 3, **options), engine="triton")
    x, found = normal(1, 3, 2, seed=1).float(), []
    for spread in (False, True):
        if spread:
            monkeypatch.setattr(
                engine.TritonEngine, "projected", lambda *given: apart(once(*given), "input")
            )
        output, _ = layer(x.detach().requires_grad_())
        gradient = normal(*output.shape, seed=2).float()
        given = apart(gradient, "gradient") if spread else gradient
        found.append([output, *torch.autograd.grad(output, [layer.cell.weight_hh], given)])
    assert_equal(*found)
