"""The facade against live Keras: outputs, states, gradients, over sampled combinations."""

from __future__ import annotations

import collections
import contextlib

import live_keras as live
import pytest
import torch

SAMPLES = 13
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


@contextlib.contextmanager
def noted(case):
    try:
        yield
    except Exception as error:
        error.add_note(str(case))
        raise


def weights_of(keras_layers):
    return [w for layer in keras_layers for w in layer.weights]


def compare(keras, case, dtype_name):
    dtype = getattr(torch, dtype_name)
    tolerance = {"rtol": TOLERANCE[dtype_name], "atol": TOLERANCE[dtype_name]}
    x, mask = live.inputs(case, dtype)
    state = live.initial_state(case, dtype)
    theirs = live.build(case, keras.layers, dtype_name)
    ours = live.facade(case, dtype_name)
    for layers in (theirs, ours):
        value = x
        for layer in layers:
            value = layer(value)
    for their_layer, our_layer in zip(theirs, ours, strict=True):
        shapes = [tuple(w.shape) for w in their_layer.weights]
        assert [w.shape for w in our_layer.get_weights()] == shapes
        arrays = live.random_weights(shapes, case.seed)
        their_layer.set_weights(arrays)
        our_layer.set_weights(arrays)
    parameters = [w.value for w in weights_of(theirs)]
    expected, their_gradients = live.run(theirs, x, state, mask, weights=parameters)
    parameters = [p for layer in ours for p in layer.parameters()]
    outputs, our_gradients = live.run(ours, x, state, mask, weights=parameters)
    assert [o.shape for o in outputs] == [e.shape for e in expected]
    for output, wanted in zip(outputs, expected, strict=True):
        torch.testing.assert_close(output, wanted, **tolerance)
    torch.testing.assert_close(our_gradients[0], their_gradients[0], **tolerance)
    ours_as_keras = live.core_gradients(ours, our_gradients[1:])
    for ours_one, theirs_one in zip(ours_as_keras, their_gradients[1:], strict=True):
        wanted = torch.zeros_like(ours_one) if theirs_one is None else theirs_one
        torch.testing.assert_close(ours_one, wanted, **tolerance)


@pytest.mark.parametrize("form", live.FORMS)
@pytest.mark.parametrize("kind", live.KINDS)
def test_facade_equals_keras(exact_keras, kind, form):
    for seed in range(SAMPLES):
        case = live.draw(kind, form, seed)
        with noted(case):
            compare(exact_keras, case, "float32")
            compare(exact_keras, case, "float64")


def test_the_sample_is_large_and_covers_everything():
    cases = [
        live.draw(kind, form, seed)
        for kind in live.KINDS
        for form in live.FORMS
        for seed in range(SAMPLES)
    ]
    assert len(cases) >= 300
    seen = collections.Counter(
        value
        for case in cases
        for value in (
            f"mask={case.mask}",
            f"initial={case.initial}",
            *(f"{k}={v}" for k, v in {**case.flags, **case.options}.items()),
        )
    )
    for mask in ("none", "padded", "holes"):
        assert seen[f"mask={mask}"] >= 60
    for flag in ("initial", "return_sequences", "return_state", "use_bias", "reset_after"):
        assert min(seen[f"{flag}=True"], seen[f"{flag}=False"]) >= 30
    assert seen["go_backwards=True"] >= 30
    assert seen["unroll=True"] >= 20
    assert all(seen[f"activation={name}"] for name in live.ACTIVATIONS)
    assert all(seen[f"recurrent_activation={name}"] for name in live.GATES)
