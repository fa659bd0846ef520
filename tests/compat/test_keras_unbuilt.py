"""Before its first call a layer of the facade behaves as torch's lazy modules do."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from seqlab.compat import keras
from seqlab.errors import ShapeError
from torch import nn
from torch.nn.parameter import is_lazy

MAKE = {
    "LSTM": lambda: keras.LSTM(4),
    "GRU without reset_after": lambda: keras.GRU(4, reset_after=False),
    "SimpleRNN": lambda: keras.SimpleRNN(4, return_sequences=True, go_backwards=True),
    "stacked": lambda: keras.RNN([keras.LSTMCell(3), keras.GRUCell(4)]),
    "registered": lambda: keras.RNN({"name": "lru", "hidden_size": 4}),
    "bidirectional": lambda: keras.Bidirectional(keras.GRU(4), merge_mode="sum"),
    "time distributed": lambda: keras.TimeDistributed(keras.LSTM(4)),
}


def sample(name, dtype=torch.float32):
    shape = (3, 2, 6, 5) if name == "time distributed" else (3, 6, 5)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)


@pytest.fixture(params=MAKE)
def made(request):
    return request.param, MAKE[request.param]


def test_an_optimizer_made_before_the_first_call_trains_every_parameter(made):
    name, make = made
    layer = make()
    names = [key for key, _ in layer.named_parameters()]
    held = {id(p) for p in layer.parameters()}
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    layer(sample(name))
    assert [key for key, _ in layer.named_parameters()] == names
    assert {id(p) for p in layer.parameters()} == held
    before = [p.detach().clone() for p in layer.parameters()]
    layer(sample(name)).abs().square().mean().backward()
    optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, layer.parameters(), strict=True))


def test_it_can_be_cast_copied_and_pickled_before_the_first_call(made):
    name, make = made
    if name != "registered":  # complex weights have no double of their own kind
        assert make().double()(sample(name, torch.float64)).dtype == torch.float64
    for twin in (copy.deepcopy(make()), pickle.loads(pickle.dumps(make()))):  # noqa: S301  # our own
        assert not twin.built
        assert twin(sample(name)).isfinite().all()


def test_a_state_dict_builds_it(made):
    name, make = made
    trained, fresh = make(), make()
    expected = trained(sample(name))
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(fresh(sample(name)), expected)


def test_a_state_dict_without_weights_goes_round_too(made):
    _, make = made
    state = make().state_dict()
    assert state
    assert all(is_lazy(value) for value in state.values())
    other = make()
    other.load_state_dict(state)
    assert not other.built


def test_inside_a_model_on_the_meta_device():
    def net():
        return nn.Sequential(keras.LSTM(4), nn.Linear(4, 1))

    x = sample("LSTM")
    assert net().to("meta")(x.to("meta")).device.type == "meta"
    with torch.device("meta"):
        empty = net()
    trained = net()
    trained(x)
    empty.load_state_dict(trained.state_dict(), assign=True)
    assert torch.equal(empty(x), trained(x))


def test_same_seed_same_weights_whether_built_at_once_or_at_the_first_call():
    torch.manual_seed(3)
    at_once = keras.LSTM(4, input_size=5)
    torch.manual_seed(3)
    later = keras.LSTM(4)
    later.build(5)
    for ours, theirs in zip(at_once.parameters(), later.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_what_is_frozen_stays_frozen():
    layer = keras.GRU(4, trainable=False)
    assert not any(p.requires_grad for p in layer.parameters())
    layer(sample("GRU"))
    assert not any(p.requires_grad for p in layer.parameters())


def test_states_of_a_stateful_layer_follow_its_type():
    layer = keras.LSTM(4, stateful=True)
    layer(sample("LSTM"))
    assert layer.double()(sample("LSTM", torch.float64)).dtype == torch.float64


def test_what_needs_a_width_says_so():
    with pytest.raises(ShapeError, match="the input width is not known yet"):
        keras.LSTM(4).get_weights()
    with pytest.raises(RuntimeError, match="Missing key"):
        keras.LSTM(4).load_state_dict({})
    with pytest.raises(RuntimeError, match="the input width does not follow"):
        keras.LSTM(4).load_state_dict({"layer.cell.bias": torch.zeros(16)}, strict=False)
