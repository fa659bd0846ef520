"""What layers say of the direction of time, and what a head makes of it."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.errors import EngineError
from seqlab.heads.pooling import LastPooling
from seqlab.model import Encoder
from seqlab.types import Batch, FeatureInfo

STEPS, WIDTH = 6, 3
LENGTHS = torch.tensor([6, 4])


def gru(width=WIDTH, *, reverse=False):
    return seqlab.GRU(width, 4, reverse=reverse)


def both(forward=None, merge="concat", **options):
    return seqlab.Bidirectional(forward or gru(), merge, **options)


def backward_below():
    return seqlab.Stacked([gru(reverse=True), gru(4)])


def forward_below():
    return seqlab.Stacked([gru(), gru(4, reverse=True)])


#: A layer, the directions its encoder hands over, and whether it can be streamed.
LAYERS = {
    "forward": (gru, (4,), True),
    "backward": (lambda: gru(reverse=True), (0, 4), False),
    "backward below": (backward_below, (4,), False),
    "forward below": (forward_below, (0, 4), False),
    "two above backward": (lambda: both(backward_below()), (4, 4), False),
    "pair": (both, (4, 4), False),
    "pair of unlike widths": (lambda: both(backward_layer=seqlab.GRU(3, 2)), (4, 2), False),
    "pair that begins backward": (lambda: both(gru(reverse=True)), (0, 4, 4), False),
    "sum": (lambda: both(merge="sum"), (4,), False),
    "pair of pairs": (lambda: both(both()), (4, 8, 4), False),
    "stack under a pair": (lambda: both(forward_below()), (0, 4, 4), False),
    "pair below": (lambda: seqlab.Stacked([both(), gru(8)]), (4,), False),
    "pair below, backward": (lambda: seqlab.Stacked([both(), gru(8, reverse=True)]), (0, 4), False),
    "residual": (lambda: seqlab.Residual(backward_below(), project=True), (4,), False),
    "residual stack": (lambda: seqlab.Residual(seqlab.Stacked([gru(), gru(4)]), project=True),
                       (4,), True),
}  # fmt: skip


def encoded(layer, x):
    features = (FeatureInfo("x", "numeric", WIDTH),)
    return Encoder(features, layer).double().eval()(Batch({"x": x}, LENGTHS))


@pytest.mark.parametrize("name", LAYERS)
def test_heads_are_told_the_direction_of_each_part_of_the_output(name):
    make, directions, causal = LAYERS[name]
    layer = make()
    assert layer.causal == causal
    assert encoded(layer, torch.zeros(2, STEPS, WIDTH)).directions == directions


ONE_WAY = {"forward", "backward", "pair", "pair of unlike widths", "pair that begins backward",
           "residual stack"}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_sides_are_layers_that_see_one_side_alone(name):
    """What a layer gives as a side computes that part of the output from one side."""
    layer = LAYERS[name][0]().double().eval()
    directions = (0, *layer.directions) if layer.reverse else layer.directions
    sides = layer.sides()
    assert (name in ONE_WAY) == any(sides)
    x = torch.randn(2, STEPS, WIDTH, dtype=torch.float64)
    parts = torch.split(layer(x, lengths=LENGTHS)[0], list(directions), -1)
    for turn, side in enumerate(sides):
        if side is None:
            continue
        given, _ = side(x, lengths=LENGTHS)
        torch.testing.assert_close(given, torch.cat(parts[turn::2], -1))
        moved = x.clone()
        moved[:, 2] += 1.0
        changed = (side(moved, lengths=LENGTHS)[0] != given).any(-1).any(0)
        seen = [t <= 2 if turn else t >= 2 for t in range(STEPS)]
        assert changed.tolist() == seen
    info = Encoder((FeatureInfo("x", "numeric", WIDTH),), layer).info
    assert info.one_sided == (name in ONE_WAY)


@pytest.mark.parametrize("name", [n for n in LAYERS if n != "sum"])
def test_last_is_the_output_that_has_seen_the_most(name):
    """Moving the last layers' first real input moves every unit that ``last`` pools."""
    layer = LAYERS[name][0]()
    x = torch.randn(2, STEPS, WIDTH, dtype=torch.float64)
    given = encoded(layer, x)
    pooled = LastPooling.pool(None, given.output, given)
    widths = torch.split(pooled, list(given.directions), 1)
    for turn, part in enumerate(widths):
        moved = x.clone()
        moved[0, 5 if turn % 2 else 0] += 2.0
        moved[1, 3 if turn % 2 else 0] += 2.0
        again = encoded(layer, moved)
        after = torch.split(LastPooling.pool(None, again.output, again), list(given.directions), 1)
        assert (after[turn] != part).all()


@pytest.mark.parametrize("name", LAYERS)
def test_turning_a_layer_around_turns_its_directions(name):
    make, directions, _ = LAYERS[name]
    layer = make()
    layer.reverse_()
    turned = encoded(layer, torch.zeros(2, STEPS, WIDTH)).directions
    assert turned == (directions[1:] if directions[0] == 0 else (0, *directions))


@pytest.mark.parametrize("name", LAYERS)
def test_only_layers_that_see_no_future_are_streamed(name):
    make, _, causal = LAYERS[name]
    if causal:
        seqlab.stream(make()).step(torch.zeros(2, WIDTH))
        return
    with pytest.raises(EngineError, match="cannot be streamed"):
        seqlab.stream(make())
