"""``heads``: products by blocks equal those with the whole block-diagonal matrix, everywhere."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.cells import products
from seqlab.engines.traced import blocks
from seqlab.testing.sample import holey_mask, normal

ROWS, STEPS, INPUTS = 5, 6, 3
OPTIONS = {
    "gru": ("gru", {}),
    "two products": ("gru", {"reset_after": False, "recurrent_dropout": 0.3}),
    "normalised": ("lstm", {"layer_norm": True, "recurrent_dropout": 0.3, "untied_dropout": True}),
    "masked": ("lstm", {"weight_dropout": 0.3, "zoneout": 0.2}),
}
#: Blocks of one, two, few and many units; a panel of compiled code meets one, parts or many.
SIZES = [(6, 3), (7, 7), (66, 2), (96, 3), (64, 32)]
CASES = [("gru", *size) for size in SIZES] + [
    (name, *size) for name in OPTIONS for size in SIZES[2:4] if name != "gru"
]


def made(name, hidden, heads, asymmetric, *, whole=False):
    """A cell; ``whole``: its engines are given the whole matrix."""
    kind, options = OPTIONS[name]
    cell = seqlab.get("cell", kind)(INPUTS, hidden, heads=heads, **options)
    cell = asymmetric(cell.double(), 0.3)
    if whole:
        cell.recurrent_weight = cell.recurrent_matrix
        cell.sample_noise = with_whole_mask(cell)
    return cell


def with_whole_mask(cell):
    """Noise of which the mask of the blocks is spread as they are."""
    draw = cell.sample_noise

    def sample(*sizes, **like):
        noise = draw(*sizes, **like)
        if noise is None or noise.weight_mask is None:
            return noise
        return noise._replace(weight_mask=products.whole_matrix(cell, noise.weight_mask))

    return sample


def results(cell, engine, x, state, mask, *, reverse, training):
    layer = seqlab.Recurrent(cell, engine=engine, reverse=reverse).train(training)
    torch.manual_seed(3)
    output, final = layer(x, state, mask=mask)
    weight = torch.linspace(-1, 2, output.numel(), dtype=x.dtype).view_as(output)
    loss = (weight * output).sum() + sum((1 + i) * s.sin().sum() for i, s in enumerate(final))
    return [output, *final, *torch.autograd.grad(loss, [x, *state, *cell.parameters()])]


def assert_equal(ours, reference):
    for mine, theirs in zip(ours, reference, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


def inputs(cell):
    x = normal(ROWS, STEPS, INPUTS, seed=1).requires_grad_()
    sizes = enumerate(cell.state_sizes)
    return x, [normal(ROWS, size, seed=2 + i).requires_grad_() for i, size in sizes]


@pytest.fixture(autouse=True)
def _by_blocks_at_any_size(monkeypatch):
    monkeypatch.setattr(products, "WORTH_BLOCKS", 0)
    monkeypatch.setattr(products, "WORTH_DIAGONAL", 0)
    monkeypatch.setattr(blocks, "LEAST_WORK", 0)


@pytest.mark.parametrize(("name", "hidden", "heads"), CASES)
def test_blocks_equal_the_whole_matrix(asymmetric, name, hidden, heads):
    cell, whole = (made(name, hidden, heads, asymmetric, whole=w) for w in (False, True))
    x, state = inputs(cell)
    for reverse, mask in ((False, None), (True, holey_mask(ROWS, STEPS))):
        for training in (True, False):
            run = {"reverse": reverse, "training": training}
            wanted = results(whole, "loop", x, state, mask, **run)
            for engine in ("loop", "compiled"):
                assert_equal(results(cell, engine, x, state, mask, **run), wanted)


@pytest.mark.parametrize("heads", [2, 66])
def test_without_gradients_and_step_by_step(asymmetric, heads):
    cell = made("gru", 66, heads, asymmetric).eval()
    whole = made("gru", 66, heads, asymmetric, whole=True).eval()
    x, state = (part.detach() for part in (inputs(cell)[0], *inputs(cell)[1]))
    with torch.no_grad():
        wanted, last = seqlab.Recurrent(whole, engine="loop")(x, (state,))
        for engine in ("loop", "compiled"):
            layer = seqlab.Recurrent(cell, engine=engine)
            for _ in range(2):  # the second has packed matrices of the first
                found, final = layer(x, (state,))
                assert_equal([found, *final], [wanted, *last])
            stream = seqlab.stream(layer)
            stream.state = type(last)(state)
            steps = [stream.step(x[:, t])[0] for t in range(STEPS)]
            assert_equal([torch.stack(steps, 1)], [wanted])
        # other blocks of the same sizes are packed anew
        cell.weight_hh.mul_(0.5)
        halved = seqlab.Recurrent(cell, engine="loop")(x, (state,))[0]
        assert_equal([seqlab.Recurrent(cell, engine="compiled")(x, (state,))[0]], [halved])
        assert (halved - wanted).abs().max() > 1e-3


def test_steps_of_rounded_blocks(asymmetric):
    cell = seqlab.quantize(made("gru", 64, 4, asymmetric).eval())
    x = inputs(cell)[0].detach()
    with torch.no_grad():
        stream = seqlab.stream(seqlab.Recurrent(cell, engine="compiled"))
        steps = [stream.step(x[:, t])[0] for t in range(STEPS)]
        assert_equal([torch.stack(steps, 1)], [seqlab.Recurrent(cell, engine="loop")(x)[0]])


def test_several_threads_take_units_or_rows(asymmetric, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    cell = made("gru", 512, 2, asymmetric)  # large enough for each thread to take its own units
    x, state = inputs(cell)
    run = {"reverse": False, "training": True}
    wanted = results(cell, "loop", x, state, None, **run)
    assert_equal(results(cell, "compiled", x, state, None, **run), wanted)


@pytest.mark.parametrize("engine", ["loop", "compiled"])
def test_gradients_of_gradients(asymmetric, engine):
    found = []
    for whole in (False, True):
        cell = made("gru", 6, 3, asymmetric, whole=whole)
        x, state = inputs(cell)
        output, _ = seqlab.Recurrent(cell, engine="loop" if whole else engine)(x, state)
        (first,) = torch.autograd.grad(output.sin().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), [x, *cell.parameters()]))
    assert_equal(*found)


@pytest.mark.parametrize(
    ("size", "shape"), [((32, 8), (32, 32)), ((256, 4), (4, 64, 192)), ((128, 128), (128, 1, 3))]
)
def test_steps_multiply_by_blocks_where_that_is_worth_it(monkeypatch, size, shape):
    monkeypatch.undo()
    hidden, heads = size
    cell = seqlab.get("cell", "gru")(3, hidden, heads=heads)
    form = tuple(products.weight_of_steps(cell, cell.recurrent_weight()).shape)
    assert form == ((96, 32) if hidden == 32 else shape)
    assert cell.recurrent_weight().shape == (3 * hidden, hidden // heads)
    assert cell.recurrent_matrix().shape == (3 * hidden, hidden)
