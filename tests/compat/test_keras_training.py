"""Dropout with forced masks, penalties and constraints: the numbers of live Keras."""

from __future__ import annotations

import pytest
import torch
from seqlab.cells.noise import Noise
from seqlab.compat import keras as ours

ORDER = {"LSTM": [0, 1, 2, 3], "GRU": [1, 0, 2], "SimpleRNN": [0]}  # seqlab's gates in Keras's


def pair(keras, name, **options):
    mine = getattr(ours, name)(4, dtype="float64", return_sequences=True, **options)
    theirs = getattr(keras.layers, name)(4, dtype="float64", return_sequences=True, **options)
    x = torch.randn(3, 5, 6, dtype=torch.float64)
    mine(x), theirs(x)
    weights = [torch.randn(w.shape, dtype=torch.float64).numpy() * 0.5 for w in mine.get_weights()]
    mine.set_weights(weights)
    theirs.set_weights(weights)
    return mine, theirs, x


def masks(gates, width):
    return [(torch.rand(3, width, dtype=torch.float64) > 0.5) * 2.0 for _ in range(gates)]


def force(mine, theirs, name, *, per_gate, inputs, recurrent):
    """Give both libraries the same masks."""
    order = ORDER[name]

    def keras_form(found):
        return None if found is None else (found if per_gate and name != "SimpleRNN" else found[0])

    theirs.cell.get_dropout_mask = lambda _: keras_form(inputs)
    theirs.cell.get_recurrent_dropout_mask = lambda _: keras_form(recurrent)

    def stacked(found):
        return None if found is None else torch.stack([found[g] for g in order], 1)

    noise = Noise(stacked(inputs if per_gate or inputs is None else None), stacked(recurrent))
    if inputs is not None and not per_gate:
        noise = Noise(inputs[0].unsqueeze(1))
    mine.cell.core.sample_noise = lambda *_, **__: noise


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(
    ("name", "options"),
    [("SimpleRNN", {}), ("LSTM", {}), ("GRU", {}), ("GRU", {"reset_after": False})],
)
@pytest.mark.parametrize("rates", [(0.5, 0.0), (0.0, 0.5), (0.5, 0.5)])
def test_forced_masks(exact_keras, name, options, rates, backwards):
    dropout, recurrent_dropout = rates
    options = {**options, "dropout": dropout, "recurrent_dropout": recurrent_dropout}
    mine, theirs, x = pair(exact_keras, name, go_backwards=backwards, **options)
    per_gate = recurrent_dropout > 0
    inputs = masks(len(ORDER[name]), 6) if dropout else None
    recurrent = masks(len(ORDER[name]), 4) if recurrent_dropout else None
    calm = mine(x)
    torch.testing.assert_close(calm, theirs(x), rtol=1e-10, atol=1e-10)
    force(mine, theirs, name, per_gate=per_gate, inputs=inputs, recurrent=recurrent)
    expected = theirs(x, training=True)
    torch.testing.assert_close(mine(x, training=True), expected, rtol=1e-10, atol=1e-10)
    assert not torch.allclose(calm, expected)
    torch.testing.assert_close(mine(x, training=False), calm)


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_masks_are_drawn_as_keras_draws_them(name):
    gates = len(ORDER[name])
    for options, one_for_each in (
        ({"dropout": 0.5}, False),
        ({"dropout": 0.5, "implementation": 1}, True),
        ({"dropout": 0.5, "recurrent_dropout": 0.5}, True),
    ):
        layer = getattr(ours, name)(4, input_size=6, **options).train()
        noise = layer.cell.core.sample_noise(3, 5, device=torch.device("cpu"), dtype=torch.float32)
        assert noise.input_mask.shape == (3, gates if one_for_each else 1, 6)
    assert noise.recurrent_mask.shape == (3, gates, 4)


def test_training_mode_follows_keras_and_torch():
    layer = ours.LSTM(4, dropout=0.5, input_size=30)
    x = torch.randn(2, 5, 30)
    torch.testing.assert_close(layer(x), layer(x))
    assert not torch.allclose(layer(x, training=True), layer(x))
    assert not torch.allclose(layer.train()(x), layer(x))
    torch.testing.assert_close(layer(x, training=False), layer(x, training=False))
    assert layer.training


def test_a_seed_makes_dropout_repeat():
    def outputs(seed):
        layer = ours.GRU(4, dropout=0.5, seed=seed, kernel_initializer="ones", input_size=30)
        x = torch.linspace(-1, 1, 300).reshape(2, 5, 30)
        layer.set_weights([w * 0 + 0.1 for w in layer.get_weights()])
        return [layer(x, training=True) for _ in range(2)]

    first, second = outputs(3), outputs(3)
    torch.testing.assert_close(first, second)
    assert not torch.allclose(first[0], first[1])
    before = torch.random.get_rng_state()
    layer = ours.GRU(4, dropout=0.5, seed=3, input_size=30)
    between = torch.random.get_rng_state()
    layer(torch.zeros(2, 5, 30), training=True)
    assert torch.equal(torch.random.get_rng_state(), between)
    assert not torch.equal(before, between)


REGULARIZED = {
    "kernel_regularizer": {"class_name": "L1", "config": {"l1": 0.1}},
    "recurrent_regularizer": {"class_name": "L1L2", "config": {"l1": 0.03, "l2": 0.2}},
    "bias_regularizer": "l2",
    "activity_regularizer": {"class_name": "L2", "config": {"l2": 0.3}},
}
ORTHOGONAL = {
    "kernel_regularizer": {"class_name": "OrthogonalRegularizer", "config": {"mode": "columns"}},
    "recurrent_regularizer": {"class_name": "OrthogonalRegularizer", "config": {"factor": 0.5}},
}


def serialized(keras, options):
    get = keras.regularizers.get
    return {
        k: get(v if isinstance(v, str) else {"module": "keras.regularizers", **v})
        for k, v in options.items()
    }


@pytest.mark.parametrize("return_state", [False, True])
@pytest.mark.parametrize("options", [REGULARIZED, ORTHOGONAL])
@pytest.mark.parametrize("name", ORDER)
def test_penalties(exact_keras, name, options, return_state):
    mine = getattr(ours, name)(4, dtype="float64", return_state=return_state, **options)
    theirs = getattr(exact_keras.layers, name)(
        4, dtype="float64", return_state=return_state, **serialized(exact_keras, options)
    )
    x = torch.randn(3, 5, 6, dtype=torch.float64)
    mine(x), theirs(x)
    weights = [torch.randn(w.shape, dtype=torch.float64).numpy() for w in mine.get_weights()]
    mine.set_weights(weights)
    theirs.set_weights(weights)
    mine(x), theirs(x)
    expected = float(sum(theirs.losses).detach())
    if name == "SimpleRNN" and options is REGULARIZED:
        # Keras 3.15.1 takes SimpleRNN's activity_regularizer and does not use it
        output = mine(x)[0] if return_state else mine(x)
        expected += 0.3 * float(output.detach().square().sum()) / 3 * (2 if return_state else 1)
    assert float(mine.regularization_loss().detach()) == pytest.approx(expected, rel=1e-7)
    both = ours.Bidirectional(mine)
    both(x)
    parts = both.forward_layer.regularization_loss() + both.backward_layer.regularization_loss()
    assert both.regularization_loss() == parts > 0


CONSTRAINTS = {
    "kernel_constraint": ("MinMaxNorm", {"min_value": 0.5, "max_value": 0.9, "rate": 0.7}),
    "recurrent_constraint": ("UnitNorm", {"axis": 1}),
    "bias_constraint": ("NonNeg", {}),
}


@pytest.mark.parametrize("name", ORDER)
def test_constraints_after_a_step(exact_keras, name):
    made = {k: getattr(exact_keras.constraints, c)(**o) for k, (c, o) in CONSTRAINTS.items()}
    written = {k: {"class_name": c, "config": o} for k, (c, o) in CONSTRAINTS.items()}
    mine = getattr(ours, name)(4, dtype="float64", **written)
    theirs = getattr(exact_keras.layers, name)(4, dtype="float64", **made)
    x = torch.randn(3, 5, 6, dtype=torch.float64)
    mine(x), theirs(x)
    weights = [torch.randn(w.shape, dtype=torch.float64).numpy() for w in mine.get_weights()]
    mine.set_weights(weights)
    theirs.set_weights(weights)
    rate = 0.05
    optimizer = torch.optim.SGD(mine.parameters(), lr=rate)
    mine(x).square().sum().backward()
    optimizer.step()
    mine.apply_constraints()
    theirs(x).square().sum().backward()
    for variable in theirs.weights:
        with torch.no_grad():
            stepped = variable.value - rate * variable.value.grad
            variable.value.copy_(variable.constraint(stepped))
    for now, variable in zip(mine.get_weights(), theirs.weights, strict=True):
        torch.testing.assert_close(
            torch.as_tensor(now), variable.value.detach(), rtol=1e-7, atol=1e-7
        )
