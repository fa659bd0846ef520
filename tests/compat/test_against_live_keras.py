"""The facade against live Keras: outputs, states, gradients, over sampled combinations."""

from __future__ import annotations

import collections
import contextlib

import live_keras as live
import pytest
import torch
from seqlab.compat import keras as ours_layers

SAMPLES = 13
#: How many of them the ordinary tests draw; the long ones draw the others.
ORDINARY = 5
EXACT = 1e-10
#: How many times the effect of rounding every input once a float32 result may be off.
ROUNDINGS = 30


@contextlib.contextmanager
def noted(case):
    try:
        yield
    except Exception as error:
        error.add_note(str(case))
        raise


def built(layers_of, case, dtype_name):
    """The layers of one library, called once so that their weights are there."""
    layers = live.build(case, layers_of, dtype_name)
    value, _ = live.inputs(case, getattr(torch, dtype_name))
    for layer in layers:
        value = layer(value)
    return layers


def shapes_of(layer):
    weights = layer.weights if hasattr(layer, "weights") else layer.get_weights()
    return [tuple(w.shape) for w in weights]


def numbers(layers, case, dtype_name, nudge=0.0):
    """Outputs and all gradients in Keras's layout; ``nudge`` moves every input and weight."""
    dtype = getattr(torch, dtype_name)
    x, mask = live.inputs(case, dtype)
    theirs = hasattr(layers[0], "weights")
    for index, layer in enumerate(layers):
        arrays = live.random_weights(case, shapes_of(layer))
        layer.set_weights([live.nudged(a, nudge, index) for a in arrays])
    parameters = [
        weight
        for layer in layers
        for weight in ([w.value for w in layer.weights] if theirs else layer.parameters())
    ]
    state = live.initial_state(case, dtype)
    outputs, gradients = live.run(
        layers, live.nudged(x, nudge, -1), state, mask, weights=parameters
    )
    rest = gradients[1:] if theirs else live.core_gradients(layers, gradients[1:])
    found = [*outputs, gradients[0], *rest]
    assert {value.dtype for value in found if value is not None} == {dtype}
    return found


def require_close(ours, theirs, allowed):
    assert len(ours) == len(theirs)
    for our, their, most in zip(ours, theirs, allowed, strict=True):
        wanted = torch.zeros_like(our) if their is None else their
        torch.testing.assert_close(our, wanted, rtol=0.0, atol=most)


def size_of(values):
    return [
        0.0 if value is None or not value.numel() else float(value.detach().abs().max())
        for value in values
    ]


def compare(keras, case):
    theirs, ours = (built(of, case, "float64") for of in (keras.layers, ours_layers))
    for their_layer, our_layer in zip(theirs, ours, strict=True):
        assert shapes_of(our_layer) == shapes_of(their_layer)
    expected, actual = (numbers(layers, case, "float64") for layers in (theirs, ours))
    sizes = [max(1.0, size) for size in size_of(expected)]
    assert max(sizes) < 1e4, "the case explodes: it says nothing about equality"
    require_close(actual, expected, [EXACT * size for size in sizes])
    rounding = torch.finfo(torch.float32).eps
    moved = numbers(ours, case, "float64", nudge=rounding)
    changes = size_of([a - b for a, b in zip(moved, actual, strict=True)])
    allowed = [
        ROUNDINGS * (change + rounding * size) for change, size in zip(changes, sizes, strict=True)
    ]
    theirs, ours = (built(of, case, "float32") for of in (keras.layers, ours_layers))
    require_close(*(numbers(layers, case, "float32") for layers in (ours, theirs)), allowed)


@pytest.mark.parametrize(
    "seeds", [range(ORDINARY), pytest.param(range(ORDINARY, SAMPLES), marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("form", live.FORMS)
@pytest.mark.parametrize("kind", live.KINDS)
def test_facade_equals_keras(exact_keras, kind, form, seeds):
    for seed in seeds:
        case = live.draw(kind, form, seed)
        with noted(case):
            compare(exact_keras, case)


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
