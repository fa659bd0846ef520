"""Triton's kernels of gated cells equal the loop: every option, mask, direction and gradient.

``TRITON_INTERPRET=1 SEQLAB_TEST_DEVICE=cpu`` runs them on a CPU; see
tests/engines/test_triton_interpreted.py.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
import seqlab
import torch
from seqlab.cells.base import HiddenState
from seqlab.engines.triton.engine import TritonEngine
from seqlab.engines.triton.tiling import Place, Tiles, divided, reach, step_tiles, tiles
from seqlab.testing.sample import holey_mask, normal, shaken
from torch import Tensor

pytestmark = [
    pytest.mark.gpu,
    # units past the end compute what nobody reads, of which the interpreter warns
    pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning"),
]


class Odd(seqlab.GatedCell):
    """Comparisons, powers, a root, functions of two arguments, a vector of its own, a buffer."""

    class State(NamedTuple):
        memory: Tensor
        trace: Tensor

    gates = ("keep", "write", "extra")
    vectors = {"slope": "ones"}  # noqa: RUF012  # as the base class declares it

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.register_buffer("shift", torch.linspace(-0.3, 0.4, self.hidden_size))

    def update(self, x, h, state):
        keep = torch.sigmoid(x.keep * h.keep + self.slope * state.trace)
        write = torch.where(x.write > h.write, x.write, torch.maximum(h.write, self.shift) * 0.3)
        memory = keep * state.memory + (1 - keep) * torch.nn.functional.softplus(write)
        bounded = memory.clamp(-1.5, 1.5).pow(2).add(1).sqrt().log1p() - torch.sin(x.extra) ** 3
        output = torch.nn.functional.gelu(bounded) / (1.5 + torch.cos(h.extra))
        size = torch.abs(output) ** 1.5 + torch.atan(x.extra) + torch.expm1(-(output**2))
        return output, self.State(torch.tanh(memory), 0.5 * state.trace + torch.sign(size) * size)


class Passing(seqlab.GatedCell):
    """A field that becomes another, one that stays, and a constant."""

    class State(NamedTuple):
        hidden: Tensor
        before: Tensor
        first: Tensor

    gates = ("new",)

    def update(self, x, h, state):
        hidden = torch.tanh(x.new + h.new + state.before * state.first)
        return state.before, self.State(hidden, state.hidden, state.first)


class Parts(seqlab.GatedCell):
    """Gates with an input part or a recurrent part alone, a scalar, a raw input."""

    class State(NamedTuple):
        hidden: Tensor
        cell: Tensor

    input_gates = ("write", "only")
    recurrent_gates = ("write", "back", "again")
    second_gates = ("again",)
    scalars = {"beta": 0.7}  # noqa: RUF012
    raw = {"gap": 1}  # noqa: RUF012

    def second_input(self, x, h, state):
        return torch.tanh(x.only - h.back) * state.cell

    def update(self, x, h, state):
        write = torch.sigmoid(x.write + h.write - self.beta * x.gap)
        cell = write * state.cell + (1 - write) * torch.tanh(x.only + h.again)
        return cell * torch.tanh(h.back), self.State(torch.tanh(cell + h.back), cell)


class Diagonal(seqlab.GatedCell):
    """No recurrent matrix at all."""

    State = HiddenState
    input_gates = ("candidate",)
    recurrent_gates = ()
    vectors = {"decay": "ones"}  # noqa: RUF012

    def update(self, x, h, state):
        del h
        hidden = torch.tanh(x.candidate + self.decay * state.hidden)
        return hidden, HiddenState(hidden)


CASES = {
    "rnn": ("rnn", {}),
    "lstm": ("lstm", {"peepholes": True}),
    "lstm without bias": ("lstm", {"use_bias": False}),
    "gru": ("gru", {}),
    "gru with two products": ("gru", {"reset_after": False}),
    "masks": ("lstm", {"dropout": 0.2, "recurrent_dropout": 0.4, "zoneout": 0.3}),
    "a mask for each gate": ("gru", {"recurrent_dropout": 0.4, "untied_dropout": True}),
    "masked twice": ("gru", {"reset_after": False, "recurrent_dropout": 0.4, "zoneout": 0.2}),
    "masked matrix": ("gru", {"weight_dropout": 0.4}),
    "odd": (Odd, {}),
    "parts": (Parts, {"recurrent_dropout": 0.4, "untied_dropout": True}),
    "diagonal": (Diagonal, {}),
    "passing": (Passing, {"zoneout": {"before": 0.2, "hidden": 0.0, "first": 0.1}}),
}


def pair(device, case, size, dtype, *, reverse, **more):
    cell, options = CASES[case]
    options = {**options, **more}
    make = seqlab.get("cell", cell) if isinstance(cell, str) else cell
    loop = seqlab.Recurrent(make(*size, **options), engine="loop", reverse=reverse).double()
    loop = shaken(loop).to(device, dtype)
    kernels = seqlab.Recurrent(make(*size, **options), engine="triton", reverse=reverse)
    kernels.to(device, dtype).load_state_dict(loop.state_dict())
    return loop, kernels


def results(layer, x, state, mask, *, seed=5):
    torch.manual_seed(seed)
    output, final = layer(x, state, mask=mask)
    weight = torch.linspace(-1, 2, output.numel(), dtype=x.dtype, device=x.device)
    loss = (output * weight.view_as(output)).sum()
    loss = loss + sum((1 + i) * part.sin().sum() for i, part in enumerate(final))
    inputs = [x, *state, *layer.parameters()]
    gradients = torch.autograd.grad(loss, inputs, allow_unused=True)
    return [output, *final, *gradients]


def assert_equal(ours, reference):
    for mine, theirs in zip(ours, reference, strict=True):
        if mine is None:
            assert theirs is None
        else:
            wanted = torch.zeros_like(mine) if theirs is None else theirs
            torch.testing.assert_close(mine, wanted)


def inputs(device, loop, size, rows=5):
    x = normal(rows, 6, size[0], seed=1).to(device).requires_grad_()
    state = [
        normal(rows, size[1], seed=2 + i).to(device).requires_grad_()
        for i, _ in enumerate(loop.initial_state(1))
    ]
    return x, state


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_equals_the_loop(device, case, reverse):
    size = (5, 33) if reverse else (5, 7)
    loop, kernels = pair(device, case, size, torch.float64, reverse=reverse)
    x, state = inputs(device, loop, size)
    for mask in (None, holey_mask(5, 6).to(device)):
        for training in (True, False):
            expected = results(loop.train(training), x, state, mask)
            assert_equal(results(kernels.train(training), x, state, mask), expected)
        with torch.no_grad():
            output, final = kernels(x, state, mask=mask)
        assert_equal((output, *final), expected[: 1 + len(final)])


def test_a_modified_cell_is_the_loops(device):
    """Few steps and units: by the interpreter each statement of an update takes a millisecond."""
    cell = seqlab.get("cell", "rnn")(3, 5, modifier="multiplicative_integration")
    cell = shaken(cell.double()).to(device)
    engines = [seqlab.Recurrent(cell, engine=engine) for engine in ("loop", "triton")]
    x, state = inputs(device, engines[0], (3, 5), rows=3)
    mask = torch.tensor([[True, True], [False, True], [True, False]], device=device)
    loop, kernels = (results(layer, x[:, :2], state, mask) for layer in engines)
    assert_equal(kernels, loop)
    names = [name for name, _ in engines[0].named_parameters()]
    slopes = dict(zip(names, kernels[-len(names) :], strict=True))
    assert slopes["cell.modifier.alpha_candidate"].abs().min() > 0


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("hidden", "heads"), [(6, 3), (7, 7), (33, 3)])
@pytest.mark.parametrize("case", ["gru", "a mask for each gate", "masked twice", "masked matrix"])
def test_blocks_are_the_loops(device, case, hidden, heads, reverse):
    loop, kernels = pair(device, case, (3, hidden), torch.float64, reverse=reverse, heads=heads)
    x, state = inputs(device, loop, (3, hidden))
    for mask in (None, holey_mask(5, 6).to(device)):
        assert_equal(results(kernels, x, state, mask), results(loop, x, state, mask))


def test_ordinary_blocks(device):
    loop, kernels = pair(device, "masked twice", (2, 6), torch.float64, reverse=True, heads=3)
    x, state = inputs(device, loop, (2, 6), rows=3)
    mask = holey_mask(3, 2).to(device)
    x = x[:, :2].detach().requires_grad_()
    assert_equal(results(kernels, x, state, mask), results(loop, x, state, mask))


@pytest.mark.parametrize("case", ["lstm", "gru with two products"])
def test_ordinary_calls_with_masks_of_their_own(device, case):
    loop, kernels = pair(device, case, (2, 5), torch.float64, reverse=False)
    x, state = inputs(device, loop, (2, 5))
    holes = holey_mask(5, 6).to(device)
    for mask in (holes, ~holes, holes.T.contiguous().T):
        assert_equal(results(kernels, x, state, mask), results(loop, x, state, mask))
        with torch.no_grad():
            found, expected = (layer(x, state, mask=mask) for layer in (kernels, loop))
        assert_equal((found[0], *found[1]), (expected[0], *expected[1]))


class Unmet:
    """A kernel whose programs do not wait for each other."""

    def __init__(self, launcher):
        self.launcher = launcher

    def __call__(self, grid, arguments, key, constants):
        assert grid[0] > 1
        self.launcher(grid, arguments, key, lambda: {**constants(), "GRID": False})


@pytest.mark.parametrize(
    ("hidden", "heads", "plan"),
    [(48, 3, (16, 16, True)), (48, 12, (16, 16, False)), (64, 2, (32, 16, False))],
)
def test_programs_see_their_blocks_alone(device, monkeypatch, hidden, heads, plan):
    """So, with whole blocks each, they may run one after the other, as the interpreter does."""
    if device.type != "cpu":
        pytest.skip("programs meet there")
    from seqlab.engines.triton import recurrence

    make = TritonEngine.kernel

    def kernel(self, *of, **form):
        made = make(self, *of, **form)
        return made._replace(forward=Unmet(made.forward), backward=Unmet(made.backward))

    monkeypatch.setattr(TritonEngine, "kernel", kernel)
    monkeypatch.setattr(recurrence, "tiles", lambda *_: Tiles(16, *plan))
    loop, kernels = pair(device, "gru", (3, hidden), torch.float64, reverse=True, heads=heads)
    x, state = inputs(device, loop, (3, hidden))
    mask = holey_mask(5, 6)
    assert_equal(results(kernels, x, state, mask), results(loop, x, state, mask))


@pytest.mark.parametrize("case", ["lstm", "gru", "gru with two products", "odd"])
def test_in_float32_over_many_rows(device, exact_products, case):
    loop, kernels = pair(device, case, (3, 40), torch.float64, reverse=False)
    x, state = inputs(device, loop, (3, 40), rows=35)
    expected = results(loop, x, state, None)
    single = kernels.float()
    ours = results(
        single, x.detach().float().requires_grad_(),
        [s.detach().float().requires_grad_() for s in state], None,
    )  # fmt: skip
    for mine, theirs in zip(ours, expected, strict=True):
        scale = theirs.abs().max().clamp(min=1)
        assert ((mine - theirs).abs() / scale).max() < 1e-4


def test_ordinary_launches_of_some_rows_each(device, monkeypatch):
    if device.type != "cpu":
        pytest.skip("one program has all units of the interpreter's")
    from seqlab.engines.triton import recurrence

    monkeypatch.setattr(recurrence, "MOST_GROUPS", 2)  # of sixteen rows
    loop, kernels = pair(device, "lstm", (2, 3), torch.float64, reverse=False)
    x, state = inputs(device, loop, (2, 3), rows=50)
    mask = holey_mask(50, 6)
    assert_equal(results(kernels, x, state, mask), results(loop, x, state, mask))


@pytest.mark.parametrize("batch", [1, 7, 300_000, 5_000_000])
@pytest.mark.parametrize("hidden", [1, 100, 3000])
def test_a_step_has_no_more_groups_of_rows_than_a_launch_may(batch, hidden):
    rows, _ = step_tiles(hidden, batch, Place(132, 232_448, "tf32"))
    assert divided(batch, rows) <= 65_535


def test_what_needs_no_gradient_gets_none(device):
    loop, kernels = pair(device, "gru", (3, 4), torch.float64, reverse=False)
    for layer in (loop, kernels):
        layer.cell.weight_hh.requires_grad = False
    x, state = inputs(device, loop, (3, 4))
    x, state = x.detach(), [s.detach() for s in state]
    gradients = []
    for layer in (loop, kernels):
        layer.zero_grad()
        layer(x, state)[0].sum().backward()
        assert layer.cell.weight_hh.grad is None
        gradients.append([p.grad for p in layer.parameters() if p.grad is not None])
    assert_equal(*gradients)


def test_gradients_of_gradients_are_the_loops(device):
    found = []
    for layer in pair(device, "lstm", (3, 4), torch.float64, reverse=False):
        x, state = inputs(device, layer, (3, 4))
        output, _ = layer(x, state)
        (first,) = torch.autograd.grad(output.sin().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), [x, *layer.parameters()]))
    assert_equal(*found)


def test_a_strided_input_and_an_expanded_gradient(device):
    loop, kernels = pair(device, "gru", (3, 4), torch.float64, reverse=False)
    x, state = inputs(device, loop, (3, 4), rows=8)
    found = []
    for layer in (loop, kernels):
        part = x[::2].transpose(1, 2).flip(0).transpose(1, 2)
        output, _ = layer(part, [s[::2] for s in state])
        found.append(torch.autograd.grad(output.sum(), [x, *state, *layer.parameters()]))
    assert_equal(*found)


@pytest.mark.parametrize("hidden", [1, 7, 64, 100, 128, 256, 512, 1000, 2100, 5000])
@pytest.mark.parametrize("precision", ["tf32", "sum"])
def test_tiles_cover_the_units_and_run_at_once(hidden, precision):
    plan = tiles(hidden, 4, Place(132, 232_448, precision))
    assert 0 < plan.programs(hidden) <= 132
    assert plan.programs(hidden) * plan.units >= hidden
    assert not plan.resident or plan.depth >= hidden


@pytest.mark.parametrize("size", [1, 3, 12, 16, 30, 60])
@pytest.mark.parametrize("units", [16, 32])
def test_what_programs_reach_of_blocks(size, units):
    hidden = 60
    seen = [
        {other for unit in range(begin, min(begin + units, hidden)) for other in range(hidden)
         if other // size == unit // size}
        for begin in range(0, hidden, units)
    ]  # fmt: skip
    assert reach(hidden, units, size) == max(map(len, seen))
    plan = tiles(1024, 4, Place(132, 232_448, "tf32x3"), 64)
    assert (plan.resident, plan.depth) == (True, 64)
