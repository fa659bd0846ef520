from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.construct import construct
from seqlab.errors import OptionError
from seqlab.wrappers.base import LayerFactory
from seqlab_highway import Highway, HighwayWrapper

X = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(5))
LENGTHS = torch.tensor([6, 0, 3])


def test_the_equation_of_the_paper():
    torch.manual_seed(3)
    layer = Highway(seqlab.GRU(4, 5), project=True)
    output, _ = layer(X)
    gate = torch.sigmoid(X @ layer.gate.weight.T + layer.gate.bias)
    expected = gate * layer.layer(X)[0] + (1 - gate) * (X @ layer.carry.weight.T)
    torch.testing.assert_close(output, expected)


def test_a_very_negative_bias_carries_the_input_and_a_positive_one_the_layer():
    inner = seqlab.GRU(4, 4)
    torch.testing.assert_close(Highway(inner, gate_bias=-60.0)(X)[0], X)
    torch.testing.assert_close(Highway(inner, gate_bias=60.0)(X)[0], inner(X)[0])


def test_padding_never_matters():
    layer = Highway(seqlab.GRU(4, 5), project=True)
    poisoned = X.clone()
    poisoned[1], poisoned[2, 3:] = float("nan"), float("nan")
    clean, state = layer(X, lengths=LENGTHS)
    dirty, dirty_state = layer(poisoned, lengths=LENGTHS)
    torch.testing.assert_close(dirty, clean)
    torch.testing.assert_close(dirty_state.hidden, state.hidden)
    assert (clean[1] == 0).all()
    assert (clean[2, 3:] == 0).all()


def test_streaming_equals_the_whole_run():
    layer = Highway(seqlab.GRU(4, 4)).eval()
    stream = seqlab.stream(layer)
    steps = [stream.step(x_t)[0] for x_t in X.unbind(1)]
    torch.testing.assert_close(torch.stack(steps, 1), layer(X)[0])


def test_a_fresh_copy_has_new_weights_and_the_same_gate_bias():
    layer = Highway(seqlab.GRU(4, 4), gate_bias=-3.0)
    twin = layer.fresh()
    assert not torch.equal(twin.gate.weight, layer.gate.weight)
    assert (twin.gate.bias == -3.0).all()


def test_nested_by_name():
    wrappers = [{"name": "highway", "project": True}, {"name": "bidirectional"}, "stacked"]
    made = tuple(construct("wrapper", spec) for spec in wrappers)
    layer = LayerFactory({"name": "lstm", "hidden_size": 5}, made)(4)
    output, _ = layer(X, lengths=LENGTHS)
    assert output.shape == (3, 6, 10)
    assert sum(isinstance(part, Highway) for part in layer.modules()) == 4
    assert seqlab.get("wrapper", "highway") is HighwayWrapper


def test_different_widths_need_a_projection():
    with pytest.raises(OptionError, match=r"takes 4 features and gives 5; .* project=True"):
        Highway(seqlab.GRU(4, 5))
