"""A wrong option is refused at construction, by its name, in one line."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.errors import OptionError

WRONG = [
    ({"activation": "tahn"}, r"activation: unknown activation 'tahn': did you mean 'tanh'"),
    ({"activation": 3}, "activation: expected the name of an activation or a function, got 3"),
    ({"activation": {"name": "elu", "alhpa": 1}}, "has no option 'alhpa': did you mean 'alpha'"),
    ({"activation": {"name": "elu", "alpha": "x"}}, "activation.alpha: expected a number, got 'x'"),
    (
        {"activation": {"name": "gelu", "approximate": 1}},
        "approximate: expected true or false",
    ),
    ({"activation": {"name": "threshold"}}, "needs threshold, default_value"),
    ({"activation": "glu"}, r"'glu' makes \(2, 2\) of \(2, 4\)"),
    ({"recurrent_activation": {"name": "softmax", "axis": 7}}, "recurrent_activation: .* fails"),
    ({"kernel_initializer": "glorot"}, "kernel_initializer: unknown initializer 'glorot'"),
    ({"bias_initializer": "orthogonal"}, "bias_initializer: orthogonal fills matrices only"),
    (
        {"recurrent_initializer": {"name": "random_normal", "stddev": -1.0}},
        "recurrent_initializer.stddev: expected a number of at least 0, got -1",
    ),
    (
        {"kernel_initializer": {"name": "variance_scaling", "mode": "fan"}},
        "kernel_initializer.mode: expected one of 'fan_in', 'fan_out', 'fan_avg', got 'fan'",
    ),
    (
        {"kernel_initializer": {"name": "random_uniform", "seed": "7"}},
        "kernel_initializer.seed: expected an int or null, got '7'",
    ),
    ({"kernel_regularizer": "l3"}, "kernel_regularizer: unknown regularizer 'l3'"),
    (
        {"kernel_regularizer": {"name": "l2", "l2": "1e-4"}},
        "regularizer.l2: expected a number",
    ),
    (
        {"bias_regularizer": {"name": "l1", "l1": -1}},
        "bias_regularizer.l1: .* at least 0, got -1",
    ),
    ({"activity_regularizer": 0.1}, "activity_regularizer: expected the name of a regularizer"),
    ({"recurrent_regularizer": {"name": "orthogonal", "mode": "both"}}, "one of 'rows', 'columns'"),
    ({"kernel_constraint": "maxnorm"}, "kernel_constraint: unknown constraint 'maxnorm'"),
    ({"kernel_constraint": {"name": "max_norm", "axis": 2}}, "constraint.axis: .*from -2 to 1"),
    (
        {"kernel_constraint": {"name": "max_norm", "axis": True}},
        "axis: expected an int .* list",
    ),
    (
        {"recurrent_constraint": {"name": "min_max_norm", "min_value": 3.0}},
        "recurrent_constraint.min_value: expected at most max_value=1.0, got 3.0",
    ),
    (
        {"bias_constraint": {"name": "min_max_norm", "rate": 1.5}},
        "constraint.rate: .* from 0 to 1",
    ),
    ({"dropout": 1.0}, r"dropout: expected a number in \[0, 1\), got 1.0"),
    ({"recurrent_dropout": "0.1"}, "recurrent_dropout: expected a number"),
    ({"use_bias": "yes"}, "use_bias: expected true or false, got 'yes'"),
    ({"droput": 0.1}, "has no option 'droput': did you mean 'dropout'"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
@pytest.mark.parametrize("make", [seqlab.RNN, seqlab.LSTM, seqlab.GRU])
def test_refused(make, options, message):
    if make is seqlab.GRU and options == {"bias_initializer": "orthogonal"}:
        assert make(3, 4, **options).cell.bias.abs().sum() > 0  # its two biases are a matrix
        return
    with pytest.raises(OptionError, match=message) as caught:
        make(3, 4, **options)
    assert "\n" not in str(caught.value)


def test_an_object_is_asked_for_where_a_class_is_given():
    cls = seqlab.get("regularizer", "l2")
    with pytest.raises(OptionError, match=r"kernel_regularizer: expected an object, .* add \(\)"):
        seqlab.GRU(3, 4, kernel_regularizer=cls)
    assert seqlab.GRU(3, 4, kernel_regularizer=cls(0.1)).regularization_loss() > 0


def test_functions_of_ones_own_are_taken():
    layer = seqlab.LSTM(
        3, 4, activation=torch.sin, kernel_initializer=lambda t: t.fill_(0.5), use_bias=False
    )
    assert (layer.cell.weight_ih == 0.5).all()
    output, _ = layer(torch.ones(1, 2, 3))
    assert output.shape == (1, 2, 4)
