"""The numbers that Keras publishes in its own test files, reproduced without Keras.

Kernel, recurrent and bias weights are the constants 0.01, 0.02 and 0.03, so all units are equal:
anchors, not an oracle. Source: keras 3.15.1, keras/src/layers/rnn/*_test.py (Apache-2.0).
"""

from __future__ import annotations

import pytest
import torch
from seqlab.compat.keras import GRU, LSTM, Bidirectional, SimpleRNN

CONSTANTS = {
    f"{part}_initializer": {"name": "constant", "value": value}
    for part, value in (("kernel", 0.01), ("recurrent", 0.02), ("bias", 0.03))
}
HOLES = torch.tensor([[1, 1, 0, 1], [1, 0, 0, 1]])
PADDED = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])

ARANGE_72 = [
    (LSTM, {}, (0.6288687, 0.86899155, 0.9460773)),
    (LSTM, {"go_backwards": True}, (0.35622165, 0.74789524, 0.8872726)),
    (LSTM, {"unroll": True}, (0.6288687, 0.86899155, 0.9460773)),
    (LSTM, {"unit_forget_bias": False}, (0.57019705, 0.8661914, 0.9459622)),
    (LSTM, {"use_bias": False}, (0.54986924, 0.86226785, 0.9443936)),
    (GRU, {}, (0.5217289, 0.6371659, 0.39384964)),
    (GRU, {"go_backwards": True}, (0.24406259, 0.611516, 0.3928808)),
    (GRU, {"reset_after": False}, (0.51447755, 0.6426879, 0.40208298)),
    (GRU, {"use_bias": False}, (0.49988455, 0.64701194, 0.4103359)),
]


def make(cls, units, **options):
    return cls(units, **{**CONSTANTS, **options})


def arange(*shape):
    return torch.arange(float(torch.tensor(shape).prod())).reshape(shape)


def close(output, per_row):
    expected = torch.tensor(per_row)
    expected = expected[:, None].expand(output.shape) if expected.dim() == 1 else expected
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("implementation", [1, 2])
@pytest.mark.parametrize(("cls", "options", "expected"), ARANGE_72)
def test_options(cls, options, expected, implementation):
    close(make(cls, 3, implementation=implementation, **options)(arange(3, 6, 4)), expected)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, (0.405432, 0.73605347)), ({"go_backwards": True}, (0.11144729, 0.5528889))],
)
@pytest.mark.parametrize("unroll", [False, True])
def test_simple_rnn(options, expected, unroll):
    close(make(SimpleRNN, 4, unroll=unroll, **options)(arange(2, 3, 4)), expected)


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (SimpleRNN, (0.40559256, 0.7361247)),
        (LSTM, (0.3124785, 0.6863672)),
        (GRU, (0.29542392, 0.5885018)),
    ],
)
def test_stateful_second_call(cls, expected):
    layer = make(cls, 4, stateful=True)
    for _ in range(2):
        layer(arange(2, 3, 4))
        close(layer(arange(2, 3, 4)), expected)
        layer.reset_state()


@pytest.mark.parametrize(
    ("cls", "units", "mask", "options", "expected"),
    [
        (LSTM, 2, PADDED, {}, (0.11755939, 0.28556206)),
        (LSTM, 2, PADDED.flip(1), {"go_backwards": True}, (0.15341201, 0.3844719)),
        (GRU, 2, HOLES, {}, (0.19393763, 0.30818558)),
        (GRU, 2, HOLES, {"go_backwards": True}, (0.11669192, 0.28380975)),
        (SimpleRNN, 4, HOLES, {}, (0.32951632, 0.61799484)),
    ],
)
def test_masks(cls, units, mask, options, expected):
    close(make(cls, units, **options)(arange(2, 4, 3), mask=mask), expected)


def test_masked_sequences_carry_or_are_zero():
    layer = make(LSTM, 2, return_sequences=True)
    first = [0.01588910, 0.05552048, 0.11755939, 0.11755939]
    second = [0.14185596, 0.28556206, 0.28556206, 0.28556206]
    output = layer(arange(2, 4, 3), mask=PADDED)
    for row, expected in zip(output, (first, second), strict=True):
        close(row, expected)
    layer = make(SimpleRNN, 2, return_sequences=True, zero_output_for_mask=True)
    output = layer(arange(2, 4, 3), mask=HOLES)
    close(output[0], [0.0599281, 0.15122814, 0.0, 0.32394567])
    close(output[1], [0.3969304, 0.0, 0.0, 0.608085])


def test_initial_states():
    state = arange(2, 2)
    output = make(LSTM, 2)(arange(2, 4, 3), initial_state=[state, state])
    close(output, [[0.20574439, 0.3558822], [0.64930826, 0.66276]])
    layer = make(GRU, 2, go_backwards=True, return_state=True)
    output, last = layer(arange(2, 4, 3), initial_state=state)
    close(output, [[0.13486053, 0.23261218], [0.78257304, 0.9691353]])
    assert torch.equal(output, last)
    states = [state * k for k in (1, 2, 3, 4)]
    output = Bidirectional(make(LSTM, 2))(arange(2, 4, 3), initial_state=states)
    close(
        output,
        [
            [0.20794602, 0.4577124, 0.14046375, 0.48191673],
            [0.6682636, 0.6711909, 0.60943645, 0.60950446],
        ],
    )


def test_bidirectional():
    x = arange(2, 3, 4)
    rnn = make(SimpleRNN, 2)
    forward, backward = (0.39687276, 0.7237238), (0.10004295, 0.53391594)
    concat = Bidirectional(rnn)(x)
    close(concat[:, :2], forward)
    close(concat[:, 2:], backward)
    close(Bidirectional(rnn, "ave")(x), (0.24845785, 0.6288199))
    ours, theirs = Bidirectional(rnn, None)(x)
    close(ours, forward)
    close(theirs, backward)
    other = {
        "kernel_initializer": {"name": "constant", "value": 0.03},
        "bias_initializer": {"name": "constant", "value": 0.01},
    }
    reverse = make(SimpleRNN, 2, go_backwards=True, **other)
    close(Bidirectional(rnn, "mul", backward_layer=reverse)(x), (0.08374989, 0.6740834))
    output = Bidirectional(make(GRU, 2, return_sequences=True), "sum")(x)
    close(output[0], [0.20937867, 0.34462988, 0.40290534])
    close(output[1], [0.59829646, 0.6734641, 0.6479671])


def test_bidirectional_states():
    layer = Bidirectional(make(LSTM, 2, return_state=True))
    output, h1, c1, h2, c2 = layer(arange(2, 4, 3))
    close(output[:, :2], (0.1990008, 0.52335435))
    close(output[:, 2:], (0.12659755, 0.44717982))
    close(h1, (0.1990008, 0.52335435))
    close(c1, (0.35567185, 1.0492687))
    close(h2, (0.12659755, 0.44717982))
    close(c2, (0.2501858, 0.941473))
    layer = Bidirectional(make(LSTM, 2, stateful=True))
    for _ in range(2):
        layer(arange(2, 4, 3))
        output = layer(arange(2, 4, 3))
        close(output[:, :2], (0.26234663, 0.6137073))
        close(output[:, 2:], (0.16959146, 0.5381646))
        layer.reset_states()
