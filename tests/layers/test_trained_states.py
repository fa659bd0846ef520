"""A layer that learns where it begins."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.build import build_layer
from seqlab.compat.keras.transfer import from_seqlab_layer
from seqlab.compat.torch import to_torch

ENGINES = ["loop", "fused", "compiled", "auto"]


def trained(name="LSTM", **options):
    layer = getattr(seqlab, name)(3, 4, initial_state="trained", **options).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_it_is_the_state_of_a_call_without_one(name, engine):
    layer, x = trained(name, engine=engine), torch.randn(2, 5, 3, dtype=torch.float64)
    given = type(layer.initial_state(1))(*(part.expand(2, -1) for part in layer.initial))
    torch.testing.assert_close(layer(x)[0], layer(x, given)[0])
    zero = layer.cell.initial_state(2)
    assert not torch.allclose(layer(x)[0], layer(x, zero)[0])
    layer(x)[0].sum().backward()
    assert all(bool(part.grad.abs().min() > 0) for part in layer.initial)


def test_a_new_layer_begins_as_one_with_zeros_and_is_drawn_anew_there():
    torch.manual_seed(0)
    plain = seqlab.GRU(3, 4)
    torch.manual_seed(0)
    layer = seqlab.GRU(3, 4, initial_state="trained")
    x = torch.randn(2, 5, 3)
    assert torch.equal(plain(x)[0], layer(x)[0])
    with torch.no_grad():
        layer.initial[0].fill_(2.0)
    assert not layer.fresh().initial[0].any()


def test_both_directions_and_a_stack_learn_theirs():
    pair = seqlab.Bidirectional(trained())
    stack = seqlab.Stacked([pair.double(), seqlab.LSTM(8, 4, initial_state="trained").double()])
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    with torch.no_grad():
        for name, part in stack.named_parameters():
            if ".initial." in name:
                part.copy_(torch.randn_like(part))
    output, _ = stack(x)
    torch.testing.assert_close(output, stack(x, stack.initial_state(2))[0])
    output.sum().backward()
    found = [part.grad for name, part in stack.named_parameters() if ".initial." in name]
    assert len(found) == 6
    assert all(bool(part.abs().max() > 0) for part in found)


def test_streams_begin_there():
    layer, x = trained("GRU"), torch.randn(1, 3, 3, dtype=torch.float64)
    running = seqlab.stream(layer)
    steps = torch.stack([running.step(x[:, t])[0] for t in range(3)], 1)
    torch.testing.assert_close(steps, layer(x)[0])


def test_it_is_an_option_of_the_encoder():
    spec = {"cell": {"name": "lstm", "hidden_size": 4}, "initial_state": "trained"}
    layer = build_layer({**spec, "wrappers": [{"name": "bidirectional"}]}, 3)
    assert sum(".initial." in name for name, _ in layer.named_parameters()) == 4
    with pytest.raises(seqlab.OptionError, match="initial_state"):
        build_layer({**spec, "initial_state": "ones"}, 3)


def test_other_libraries_have_no_place_for_it():
    layer = trained()
    spec = {"type": "recurrent", "input_size": 3, "cell": {"name": "lstm", "hidden_size": 4}}
    with pytest.raises(seqlab.OptionError, match="a torch module has no place for a trained"):
        to_torch(layer)
    with pytest.raises(seqlab.OptionError, match="a Keras layer has no place for a trained"):
        from_seqlab_layer(layer, spec)
