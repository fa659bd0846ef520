"""Signatures, configs, weights, states and refusals of the Keras facade."""

from __future__ import annotations

import copy
import inspect
import json

import numpy as np
import pytest
import torch
from seqlab.compat import keras as ours
from seqlab.compat.keras.configs import layer_of
from seqlab.errors import OptionError, ShapeError, UnknownNameError
from torch import nn

LAYERS = ("SimpleRNN", "LSTM", "GRU", "RNN", "Bidirectional", "TimeDistributed")
CELLS = ("SimpleRNNCell", "LSTMCell", "GRUCell", "StackedRNNCells")
KERAS_2_ONLY = {"implementation", "time_major"}


def published(cls):
    parameters = inspect.signature(cls.__init__).parameters
    return [(p.name, p.default) for p in parameters.values() if p.kind is not p.VAR_KEYWORD]


@pytest.mark.parametrize("name", [*LAYERS, *CELLS])
def test_signatures_are_the_published_ones(keras, name):
    theirs = published(getattr(keras.layers, name))
    mine = [p for p in published(getattr(ours, name)) if p[0] not in KERAS_2_ONLY]
    assert mine == theirs


@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM", "GRU"])
def test_arguments_of_keras_2(name):
    cls = getattr(ours, name)
    x = torch.randn(2, 5, 3)
    mask = torch.tensor([[True] * 5, [True, False, True, True, False]])
    plain = cls(4, return_sequences=True, return_state=True, input_shape=(5, 3))
    turned = cls(
        4, return_sequences=True, return_state=True, time_major=True, implementation=1, unroll=True
    )
    turned.build((5, 2, 3))
    turned.set_weights(plain.get_weights())
    output, *states = plain(x, mask=mask)
    other, *others = turned(x.transpose(0, 1), mask=mask.T)
    torch.testing.assert_close(other.transpose(0, 1), output)
    torch.testing.assert_close(others, states)


def kinds():
    yield "LSTM", lambda lib: lib.LSTM(3, activation="elu", go_backwards=True, dropout=0.2)
    yield "GRU", lambda lib: lib.GRU(3, use_bias=False, name="mine")
    yield "GRU2", lambda lib: lib.GRU(2, kernel_constraint="max_norm", reset_after=False)
    yield "SimpleRNN", lambda lib: lib.SimpleRNN(3, recurrent_initializer="he_normal")
    yield "bi", lambda lib: lib.Bidirectional(lib.LSTM(3, return_sequences=True), "sum")
    yield (
        "cells",
        lambda lib: lib.RNN(lib.StackedRNNCells([lib.GRUCell(3), lib.LSTMCell(2)])),
    )
    yield "td", lambda lib: lib.TimeDistributed(lib.GRU(2))


@pytest.mark.parametrize(("name", "make"), list(kinds()))
def test_configs_go_both_ways(keras, name, make):
    shape = (2, 3, 4, 5) if name == "td" else (2, 4, 5)
    x = torch.randn(shape)
    mine, theirs = make(ours), make(keras.layers)
    config = json.loads(json.dumps(mine.get_config()))
    from_mine = type(theirs).from_config(copy.deepcopy(config))
    from_theirs = type(mine).from_config(json.loads(json.dumps(theirs.get_config())))
    mine(x), theirs(x), from_mine(x), from_theirs(x)
    weights = [np.random.default_rng(0).standard_normal(w.shape) for w in mine.get_weights()]
    for layer in (mine, theirs, from_mine, from_theirs):
        layer.set_weights(weights)
    for layer in (theirs, from_mine, from_theirs):
        torch.testing.assert_close(layer(x), mine(x), rtol=1e-5, atol=1e-5)
    assert type(mine).from_config(config).get_config() == mine.get_config()


def test_a_config_never_chooses_code():
    for name in ("Lambda", "os.system", "builtins.eval", "Dense"):
        with pytest.raises(OptionError, match="layer: unknown class"):
            layer_of({"class_name": name, "config": {"function": "x"}})
    evil = {"class_name": "os.system", "config": {"command": "true"}, "module": "os"}
    with pytest.raises((OptionError, UnknownNameError), match="os"):
        ours.LSTM.from_config({"units": 3, "kernel_initializer": evil})
    with pytest.raises(OptionError, match="cell: unknown class"):
        ours.RNN.from_config({"cell": {"class_name": "Evil", "config": {}}})


def test_functions_have_no_config():
    with pytest.raises(OptionError, match=r"activation is .* no registered name"):
        ours.LSTM(3, activation=torch.sin).get_config()
    with pytest.raises(OptionError, match="Linear is not a layer"):
        ours.TimeDistributed(nn.Linear(2, 3)).get_config()


@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM", "GRU"])
def test_weights_round_trip_and_are_copies(name):
    layer = getattr(ours, name)(3, input_size=1)
    before = layer.get_weights()
    taken = layer.get_weights()
    for index in range(len(taken)):
        taken[index] += 1.0
    for now, then in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    layer.set_weights(taken)
    for now, then in zip(layer.get_weights(), taken, strict=True):
        np.testing.assert_array_equal(now, then)
    assert layer.count_params() == sum(w.size for w in taken)


def test_wrong_weights_change_nothing():
    layer = ours.GRU(3, input_size=2)
    before = layer.get_weights()
    with pytest.raises(
        ShapeError, match=r"needs 3 weights \(kernel, recurrent_kernel, bias\), got 2"
    ):
        layer.set_weights(before[:2])
    wrong = [before[0] + 1, before[1], np.zeros(9)]
    with pytest.raises(ShapeError, match=r"weights\[2\] \(bias\) must be \(2, 9\), got \(9,\)"):
        layer.set_weights(wrong)
    np.testing.assert_array_equal(layer.get_weights()[0], before[0])
    with pytest.raises(ShapeError, match="the input width is not known yet"):
        ours.GRU(3).get_weights()


def test_bidirectional_weights_are_half_and_half():
    forward, backward = ours.LSTM(3, input_size=2), ours.LSTM(3, input_size=2)
    given = forward.get_weights() + backward.get_weights()
    layer = ours.Bidirectional(ours.LSTM(3), weights=given)
    x = torch.randn(2, 4, 2)
    output = layer(x)
    torch.testing.assert_close(output[:, :3], forward(x))
    torch.testing.assert_close(output[:, 3:], backward(x.flip(1)))
    for array, taken in zip(given, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(array, taken)
    with pytest.raises(
        ShapeError, match=r"weights\[0\] \(kernel\) must be \(2, 12\), got \(5, 12\)"
    ):
        ours.Bidirectional(ours.LSTM(3), weights=[np.zeros((5, 12)), *given[1:]])(x)


def test_bidirectional_takes_the_form_of_a_layer_not_its_weights():
    layer = ours.GRU(3, input_size=2)
    wrapped = ours.Bidirectional(layer, input_size=2)
    assert not np.array_equal(wrapped.get_weights()[0], layer.get_weights()[0])
    assert len(list(wrapped.parameters())) == 8
    assert len(layer.get_weights()) == 3


def test_nested_and_deep_bidirectional():
    deep = nn.Sequential(
        ours.Bidirectional(ours.LSTM(3, return_sequences=True)),
        ours.Bidirectional(ours.GRU(2, return_sequences=True), "gate"),
        ours.TimeDistributed(nn.Linear(2, 1)),
    )
    output = deep(torch.randn(2, 5, 4))
    assert output.shape == (2, 5, 1)
    output.sum().backward()
    assert all(p.grad is not None for p in deep.parameters())


def test_weights_of_a_learned_merge_come_last():
    layer = ours.Bidirectional(ours.GRU(2, return_sequences=True), "gate", input_size=3)
    weights = layer.get_weights()
    assert [w.shape for w in weights[6:]] == [(2, 4), (2,)]
    twin = ours.Bidirectional.from_config(json.loads(json.dumps(layer.get_config())))
    twin.build(3)
    twin.set_weights(weights)
    x = torch.randn(2, 4, 3)
    torch.testing.assert_close(twin(x), layer(x))
    with pytest.raises(ShapeError, match=r"weights\[7\] \(merge\) must be \(2,\), got \(3,\)"):
        twin.set_weights([*weights[:7], np.zeros(3)])


def test_frozen_layers():
    layer = ours.Bidirectional(ours.GRU(2), "gate", trainable=False, input_size=3)
    assert not any(p.requires_grad for p in layer.parameters())
    assert not any(
        p.requires_grad for p in ours.LSTM(2, trainable=False, input_size=3).parameters()
    )


def test_a_registered_cell_runs_in_rnn():
    layer = ours.RNN({"name": "lstm", "hidden_size": 3, "peepholes": True}, return_state=True)
    output, hidden, _memory = layer(torch.randn(2, 4, 5))
    assert torch.equal(output, hidden)
    again = ours.RNN.from_config(json.loads(json.dumps(layer.get_config())))
    again.build(5)
    again.set_weights(layer.get_weights())
    x = torch.randn(2, 4, 5)
    torch.testing.assert_close(again(x)[0], layer(x)[0])


def test_stateful_batches_must_match():
    layer = ours.LSTM(3, stateful=True)
    layer(torch.zeros(2, 4, 5))
    with pytest.raises(ShapeError, match="batches of 2 rows, got 3"):
        layer(torch.zeros(3, 4, 5))
    layer.reset_state()
    layer(torch.zeros(3, 4, 5))
    states = [torch.ones(3, 3), torch.zeros(3, 3)]
    layer.reset_states(states)
    expected = ours.LSTM.from_config({**layer.get_config(), "stateful": False})
    expected.build(5)
    expected.set_weights(layer.get_weights())
    x = torch.randn(3, 4, 5)
    torch.testing.assert_close(layer(x), expected(x, initial_state=states))
    with pytest.raises(OptionError, match="not stateful"):
        expected.reset_state()


def test_time_distributed_equals_keras(keras):
    x = torch.randn(2, 3, 4, 5)
    mine = ours.TimeDistributed(ours.GRU(2, return_sequences=True))
    theirs = keras.layers.TimeDistributed(keras.layers.GRU(2, return_sequences=True))
    mine(x), theirs(x)
    weights = [np.random.default_rng(1).standard_normal(w.shape) for w in mine.get_weights()]
    mine.set_weights(weights)
    theirs.set_weights(weights)
    torch.testing.assert_close(mine(x), theirs(x), rtol=1e-5, atol=1e-5)
    mask = torch.rand(2, 3, 4) > 0.3
    torch.testing.assert_close(mine(x, mask=mask), theirs(x, mask=mask), rtol=1e-5, atol=1e-5)
    with pytest.raises(ShapeError, match=r"mask must begin with \(2, 3\), got \(2, 4\)"):
        mine(x, mask=torch.ones(2, 4))
    with pytest.raises(ShapeError, match=r"must be \[B, T, ...\], got \(2, 5\)"):
        mine(torch.zeros(2, 5))


REFUSED = [
    (lambda: ours.LSTM(0), OptionError, "units: expected an int of at least 1, got 0"),
    (lambda: ours.LSTM(3, units_=4), OptionError, "LSTM has no argument 'units_'"),
    (lambda: ours.LSTM(3, implementation=3), OptionError, "implementation: expected one of 1, 2"),
    (
        lambda: ours.LSTM(3, use_cudnn="no"),
        OptionError,
        "use_cudnn: expected one of 'auto'",
    ),
    (lambda: ours.LSTM(3, stateful="yes"), OptionError, "stateful: expected true or false"),
    (lambda: ours.LSTM(3, dropout=1.5), OptionError, r"dropout: expected a number in \[0, 1\)"),
    (lambda: ours.LSTM(3, activation="tnah"), OptionError, "did you mean 'tanh'"),
    (lambda: ours.LSTM(3, dtype="int32"), OptionError, "dtype: expected one of .* got 'int32'"),
    (lambda: ours.LSTM(3, seed="1"), OptionError, "seed: expected an int or null"),
    (
        lambda: ours.LSTM(3, input_shape=(None, None)),
        OptionError,
        "input_shape: expected a list",
    ),
    (lambda: ours.RNN(3), OptionError, "cell must be a cell, a list of cells"),
    (lambda: ours.RNN([]), OptionError, "StackedRNNCells needs a list of cells"),
    (lambda: ours.Bidirectional(nn.LSTM(2, 3)), OptionError, "layer must be a recurrent layer"),
    (
        lambda: ours.Bidirectional(ours.GRU(2), backward_layer=ours.GRU(2)),
        OptionError,
        "must run in different directions, both have go_backwards=False",
    ),
    (
        lambda: ours.Bidirectional(
            ours.GRU(2), backward_layer=ours.GRU(2, go_backwards=True, return_state=True)
        ),
        OptionError,
        "return_state must be equal, it is False in the forward layer and True",
    ),
    (lambda: ours.Bidirectional(ours.GRU(2), "mean"), UnknownNameError, "merge 'mean'"),
    (
        lambda: ours.Bidirectional(
            ours.GRU(2), "sum", backward_layer=ours.GRU(3, go_backwards=True)
        ),
        OptionError,
        "needs both directions of one width, got 2 and 3",
    ),
    (
        lambda: ours.LSTM(3)(torch.zeros(2, 5)),
        ShapeError,
        r"the input must be \[B, T, D\], got \(2, 5\)",
    ),
    (
        lambda: ours.LSTM(3, input_size=4)(torch.zeros(2, 5, 3)),
        ShapeError,
        r"must be \[B, T, 4\], got \(2, 5, 3\)",
    ),
    (
        lambda: ours.LSTM(3)(torch.zeros(2, 5, 3), mask=torch.ones(2, 4)),
        ShapeError,
        r"the mask must be \(2, 5\), got \(2, 4\)",
    ),
    (
        lambda: ours.LSTM(3)(torch.zeros(2, 5, 3), initial_state=torch.zeros(2, 3)),
        ShapeError,
        r"must have 2 parts \(hidden, cell\), got 1 parts",
    ),
    (
        lambda: ours.GRU(3)(torch.zeros(2, 5, 3), initial_state=[torch.zeros(2, 4)]),
        ShapeError,
        r"must be \(2, 3\), got \(2, 4\)",
    ),
    (
        lambda: ours.Bidirectional(ours.GRU(3))(torch.zeros(2, 5, 3), [torch.zeros(2, 3)]),
        ShapeError,
        "initial_state must be a list of the forward layer's states",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refused_in_one_line(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_no_steps_at_all():
    assert ours.GRU(3)(torch.zeros(2, 0, 4)).shape == (2, 3)
    assert ours.GRU(3, return_sequences=True)(torch.zeros(2, 0, 4)).shape == (2, 0, 3)
