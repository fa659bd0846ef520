"""Initializers: distributions, bounds and seeds."""

from __future__ import annotations

import math

import pytest
import seqlab
import torch
from seqlab.options.resolve import resolve_initializer

SHAPE = (300, 500)
RANDOM = {
    "glorot_uniform": (2 / 800, "uniform"),
    "glorot_normal": (2 / 800, "cut"),
    "he_uniform": (2 / 300, "uniform"),
    "he_normal": (2 / 300, "cut"),
    "lecun_uniform": (1 / 300, "uniform"),
    "lecun_normal": (1 / 300, "cut"),
    "random_normal": (0.05**2, "normal"),
    "random_uniform": (0.05**2 / 3, "uniform"),
}


def fill(spec, shape=SHAPE):
    tensor = torch.full(shape, math.nan)
    resolve_initializer("kernel_initializer", spec)(tensor)
    return tensor


@pytest.mark.parametrize("name", RANDOM)
def test_moments_and_bounds(name):
    variance, form = RANDOM[name]
    values = fill(name)
    assert abs(values.mean()) < 5 * math.sqrt(variance / values.numel())
    assert values.var() == pytest.approx(variance, rel=0.02)
    bound = {"uniform": math.sqrt(3), "cut": 2 / 0.87962566103423978, "normal": math.inf}[form]
    assert values.abs().max() <= bound * math.sqrt(variance) * 1.0001
    reach = {"uniform": math.sqrt(3), "cut": 2.2, "normal": 3.5}[form]
    assert values.abs().max() > 0.99 * reach * math.sqrt(variance)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["uniform", "truncated_normal", "untruncated_normal"])
def test_variance_scaling(mode, distribution):
    spec = {"name": "variance_scaling", "scale": 3.0, "mode": mode, "distribution": distribution}
    count = {"fan_in": 300, "fan_out": 500, "fan_avg": 400}[mode]
    assert fill(spec).var() == pytest.approx(3.0 / count, rel=0.02)


def test_truncated_normal_keeps_within_two_deviations():
    values = fill({"name": "truncated_normal", "mean": 1.0, "stddev": 0.5})
    assert values.min() >= 0
    assert values.max() <= 2
    assert values.mean() == pytest.approx(1.0, abs=0.01)
    assert values.std() == pytest.approx(0.5 * 0.87962566, rel=0.02)


@pytest.mark.parametrize("shape", [(4, 12), (12, 4), (5, 5)])
def test_orthogonal(shape):
    values = fill({"name": "orthogonal", "gain": 2.0}, shape)
    gram = values @ values.T if shape[0] <= shape[1] else values.T @ values
    torch.testing.assert_close(gram, 4 * torch.eye(min(shape)), atol=1e-5, rtol=0)


def test_plain_values():
    assert torch.equal(fill("zeros", (3,)), torch.zeros(3))
    assert torch.equal(fill("ones", (3,)), torch.ones(3))
    assert torch.equal(fill({"name": "constant", "value": 0.5}, (3,)), torch.full((3,), 0.5))
    assert torch.equal(fill({"name": "identity", "gain": 2.0}, (2, 3)), 2 * torch.eye(2, 3))


@pytest.mark.parametrize("name", [*RANDOM, "orthogonal", "truncated_normal"])
def test_seeds(name):
    torch.manual_seed(3)
    first, second = fill(name, (4, 6)), fill(name, (4, 6))
    torch.manual_seed(3)
    assert torch.equal(fill(name, (4, 6)), first)
    assert not torch.equal(first, second)
    fixed = {"name": name, "seed": 5}
    assert torch.equal(fill(fixed, (4, 6)), fill(fixed, (4, 6)))
    before = torch.random.get_rng_state()
    fill(fixed, (4, 6))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_names_are_those_of_keras(keras):
    from keras.src.initializers import ALL_OBJECTS_DICT

    snake = {name for name in ALL_OBJECTS_DICT if name.islower()}
    aliases = {"one", "zero", "normal", "uniform"}
    not_for_weights_of_cells = {"stft", "initializer"}
    assert snake - aliases - not_for_weights_of_cells == set(seqlab.available("initializer"))
    assert len(keras.initializers.get("orthogonal")((2, 4))) == 2
