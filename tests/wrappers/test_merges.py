"""Merges, learned ones included, and bidirectional layers of every depth and mixture."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.construct import construct
from seqlab.errors import OptionError
from seqlab.wrappers.base import LayerFactory


def two(width=4, other=None, steps=5):
    return torch.randn(2, steps, width), torch.randn(2, steps, other or width)


def test_gate_is_a_mixture_unit_by_unit():
    merge = construct("merge", "gate", 4, 4)
    f, b = two()
    torch.testing.assert_close(merge(f, f), f)
    with torch.no_grad():
        merge.gate.weight.zero_()
    torch.testing.assert_close(merge(f, b), (f + b) / 2)
    with torch.no_grad():
        merge.gate.bias.copy_(torch.tensor([100.0, -100.0, 100.0, -100.0]))
    expected = torch.where(torch.tensor([True, False, True, False]), f, b)
    torch.testing.assert_close(merge(f, b), expected)


def test_attention_weighs_the_directions_by_their_scores():
    merge = construct("merge", {"name": "attention", "size": 3, "attention_size": 2}, 4, 6)
    f, b = two(4, 6)
    scores = [
        torch.tanh(f @ merge.keys[0].weight.T + merge.keys[0].bias) @ merge.score.weight.T,
        torch.tanh(b @ merge.keys[1].weight.T + merge.keys[1].bias) @ merge.score.weight.T,
    ]
    first = 1 / (1 + torch.exp(scores[1] - scores[0]))
    expected = first * (f @ merge.values[0].weight.T)
    expected = expected + (1 - first) * (b @ merge.values[1].weight.T)
    torch.testing.assert_close(merge(f, b), expected)
    assert merge.output_size == 3
    same = construct("merge", "attention", 4, 4)
    f, b = two()
    mixed = same(f, b)
    assert ((mixed - torch.minimum(f, b)) >= -1e-6).all()
    assert ((torch.maximum(f, b) - mixed) >= -1e-6).all()


@pytest.mark.parametrize(
    ("spec", "sizes", "message"),
    [
        ("gate", (4, 5), "merge 'gate' needs both directions of one width, got 4 and 5"),
        (
            {"name": "attention", "size": 0},
            (4, 4),
            "size: expected an int of at least 1 or null, got 0",
        ),
        ({"name": "attention", "width": 3}, (4, 4), "has no option 'width'"),
    ],
)
def test_refused(spec, sizes, message):
    with pytest.raises(OptionError, match=message):
        construct("merge", spec, *sizes)


@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "ave", "gate", "attention"])
def test_masked_steps_are_zero_and_weights_learn(merge):
    layer = seqlab.Bidirectional(seqlab.GRU(3, 4), merge)
    mask = torch.tensor([[True, False, True], [False, False, True]])
    output, state = layer(torch.randn(2, 3, 3), mask=mask)
    assert (output[~mask] == 0).all()
    assert layer.final_output(state).shape == (2, layer.final_size)
    (output.sum() + layer.final_output(state).square().sum()).backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_a_fresh_layer_has_a_merge_of_its_own():
    layer = seqlab.Bidirectional(seqlab.GRU(3, 4), "gate")
    twin = layer.fresh()
    assert not torch.equal(twin.merge.gate.weight, layer.merge.gate.weight)


def factory(*wrappers, cell=None):
    cell = {"name": "lstm", "hidden_size": 4} if cell is None else cell
    return LayerFactory(cell, tuple(construct("wrapper", w) for w in wrappers))


def test_both_deep_bidirectional_types():
    two_layers = {"name": "stacked", "num_layers": 2}
    both = {"name": "bidirectional"}
    stack_of_pairs = factory(both, two_layers)(3)
    pair_of_stacks = factory(two_layers, both)(3)
    x = torch.randn(2, 5, 3)
    lower, upper = stack_of_pairs.layers
    middle, _ = lower(x)
    torch.testing.assert_close(upper(middle)[0], stack_of_pairs(x)[0])
    assert upper.forward_layer.input_size == 8
    ours, theirs = pair_of_stacks.forward_layer, pair_of_stacks.backward_layer
    expected = torch.cat([ours(x)[0], theirs(x)[0]], -1)
    torch.testing.assert_close(pair_of_stacks(x)[0], expected)
    assert [cell.input_size for cell in pair_of_stacks.cells()] == [3, 4, 3, 4]
    assert theirs.reverse
    changed = x.clone()
    changed[:, -1] += 1.0
    assert not torch.allclose(theirs(changed)[0][:, 0], theirs(x)[0][:, 0])
    torch.testing.assert_close(ours(changed)[0][:, 0], ours(x)[0][:, 0])


def test_mixed_cells_and_widths_from_a_spec():
    backward = {"name": "gru", "hidden_size": 6, "reset_after": False}
    layer = factory({"name": "bidirectional", "backward_cell": backward})(3)
    assert layer.directions == (4, 6)
    layers = [{"hidden_size": 5}, {"name": "gru", "hidden_size": 7}]
    merge = {"name": "attention", "size": 5}
    deep = factory(
        {"name": "bidirectional", "merge_mode": merge, "backward_cell": {"hidden_size": 3}},
        {"name": "stacked", "layers": layers},
    )(3)
    output, _ = deep(torch.randn(2, 4, 3))
    assert output.shape == (2, 4, 5)
    assert [type(cell).__name__ for cell in deep.cells()] == ["LSTMCell"] * 2 + ["GRUCell"] * 2
    assert [cell.hidden_size for cell in deep.cells()] == [5, 3, 7, 3]
