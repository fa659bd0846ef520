"""Activations, regularizers and constraints give the numbers of live Keras."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.options.resolve import resolve_activation, resolve_object

WITH_OPTIONS = [
    ("relu", {"negative_slope": 0.3}),
    ("relu", {"max_value": 1.5}),
    ("relu", {"threshold": 0.4}),
    ("relu", {"negative_slope": 0.3, "max_value": 1.5, "threshold": 0.4}),
    ("leaky_relu", {"negative_slope": 0.05}),
    ("elu", {"alpha": 0.7}),
    ("celu", {"alpha": 0.7}),
    ("gelu", {"approximate": True}),
    ("squareplus", {"b": 2.0}),
    ("soft_shrink", {"threshold": 0.2}),
    ("hard_shrink", {"threshold": 0.2}),
    ("threshold", {"threshold": 0.1, "default_value": -2.0}),
    ("softmax", {"axis": 0}),
    ("sparsemax", {"axis": 0}),
]


def sample(dtype=torch.float64):
    return torch.randn(5, 6, dtype=dtype) * 3


def in_double(keras, function, x, **options):
    return keras.ops.convert_to_tensor(function(keras.ops.convert_to_tensor(x), **options)).detach()


def test_the_names_are_those_of_keras(keras):
    theirs = {n for n in dir(keras.activations) if not n.startswith("_")}
    assert theirs - {"deserialize", "get", "serialize"} == set(seqlab.available("activation"))


@pytest.mark.parametrize("name", sorted(set(seqlab.available("activation")) - {"threshold"}))
def test_activation(keras, name):
    x = sample()
    function = seqlab.get("activation", name)
    expected = in_double(keras, keras.activations.get(name), x)
    torch.testing.assert_close(function(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "options"), WITH_OPTIONS)
def test_activation_with_options(keras, name, options):
    x = sample()
    function = resolve_activation("activation", {"name": name, **options})
    expected = in_double(keras, keras.activations.get(name), x, **options)
    torch.testing.assert_close(function(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "class_name", "options"),
    [
        ("l1", "L1", {}),
        ("l1", "L1", {"l1": 0.3}),
        ("l2", "L2", {}),
        ("l2", "L2", {"l2": 0.07}),
        ("l1_l2", "L1L2", {}),
        ("l1_l2", "L1L2", {"l1": 0.2, "l2": 0.03}),
        ("orthogonal", "OrthogonalRegularizer", {}),
        ("orthogonal", "OrthogonalRegularizer", {"factor": 0.4, "mode": "columns"}),
    ],
)
def test_regularizer(keras, name, class_name, options):
    weight = sample()
    ours = resolve_object("regularizer", "kernel_regularizer", {"name": name, **options})
    theirs = getattr(keras.regularizers, class_name)(**options)
    expected = float(theirs(keras.ops.convert_to_tensor(weight)))
    assert float(ours(weight)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "class_name", "options"),
    [
        ("max_norm", "MaxNorm", {}),
        ("max_norm", "MaxNorm", {"max_value": 3, "axis": 1}),
        ("max_norm", "MaxNorm", {"max_value": 3, "axis": [0, 1]}),
        ("min_max_norm", "MinMaxNorm", {}),
        (
            "min_max_norm",
            "MinMaxNorm",
            {"min_value": 2.0, "max_value": 5.0, "rate": 0.3, "axis": 1},
        ),
        ("non_neg", "NonNeg", {}),
        ("unit_norm", "UnitNorm", {}),
        ("unit_norm", "UnitNorm", {"axis": 1}),
    ],
)
def test_constraint(keras, name, class_name, options):
    weight = sample()
    ours = resolve_object("constraint", "kernel_constraint", {"name": name, **options})
    theirs = getattr(keras.constraints, class_name)(**options)
    expected = theirs(keras.ops.convert_to_tensor(weight)).detach()
    # Keras's non_neg turns float64 into float32
    ours = ours(weight).to(expected.dtype)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
