"""Initializers under Keras's names: they fill a ``[fan_in, fan_out]`` tensor or a bias in place.

The fans of a vector are both its length. Without ``seed`` the values come from torch's global
generator, so ``torch.manual_seed`` decides them; with it they are the same at each call.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from seqlab.errors import OptionError
from seqlab.schema import NonNegative, Positive, check_order, checked

#: The standard deviation of a standard normal cut off at two standard deviations.
TRUNCATED_STD = 0.87962566103423978

Mode = Literal["fan_in", "fan_out", "fan_avg"]
Distribution = Literal["truncated_normal", "untruncated_normal", "uniform"]


def _generator(tensor: Tensor, seed: int | None) -> Generator | None:
    return None if seed is None else Generator(tensor.device).manual_seed(seed)


def _matrix(tensor: Tensor, name: str) -> None:
    if tensor.dim() != 2:
        raise OptionError(f"{name} fills matrices only, not a {tuple(tensor.shape)} vector")


def zeros(tensor: Tensor) -> None:
    """All 0."""
    tensor.zero_()


def ones(tensor: Tensor) -> None:
    """All 1."""
    tensor.fill_(1.0)


def constant(tensor: Tensor, value: float = 0.0) -> None:
    """All ``value``."""
    tensor.fill_(value)


def identity(tensor: Tensor, gain: float = 1.0) -> None:
    """``gain`` on the main diagonal, else 0."""
    _matrix(tensor, "identity")
    tensor.copy_(gain * torch.eye(*tensor.shape, dtype=tensor.dtype, device=tensor.device))


def orthogonal(tensor: Tensor, gain: float = 1.0, seed: int | None = None) -> None:
    """Rows or columns orthonormal, times ``gain`` (Saxe et al., 2014)."""
    _matrix(tensor, "orthogonal")
    nn.init.orthogonal_(tensor, gain, generator=_generator(tensor, seed))


@checked
def random_normal(
    tensor: Tensor, mean: float = 0.0, stddev: NonNegative = 0.05, seed: int | None = None
) -> None:
    """Normal."""
    tensor.normal_(mean, stddev, generator=_generator(tensor, seed))


@checked
def truncated_normal(
    tensor: Tensor, mean: float = 0.0, stddev: NonNegative = 0.05, seed: int | None = None
) -> None:
    """Normal, redrawn where more than two ``stddev`` from the mean."""
    low, high = mean - 2 * stddev, mean + 2 * stddev
    nn.init.trunc_normal_(tensor, mean, stddev, low, high, generator=_generator(tensor, seed))


def random_uniform(
    tensor: Tensor, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
) -> None:
    """Uniform in ``[minval, maxval)``."""
    check_order(minval=minval, maxval=maxval)
    tensor.uniform_(minval, maxval, generator=_generator(tensor, seed))


@checked
def variance_scaling(
    tensor: Tensor,
    scale: Positive = 1.0,
    mode: Mode = "fan_in",
    distribution: Distribution = "truncated_normal",
    seed: int | None = None,
) -> None:
    """Variance ``scale / n``, where n is ``fan_in``, ``fan_out`` or their mean ``fan_avg``.

    ``truncated_normal`` is cut off at two standard deviations and stretched to the variance;
    ``uniform`` lies in ±sqrt(3 scale / n).
    """
    fan_in, fan_out = tensor.shape[0], tensor.shape[-1]
    count = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    variance = scale / max(1.0, count)
    if distribution == "uniform":
        limit = math.sqrt(3 * variance)
        random_uniform(tensor, -limit, limit, seed)
    elif distribution == "untruncated_normal":
        random_normal(tensor, 0.0, math.sqrt(variance), seed)
    else:
        truncated_normal(tensor, 0.0, math.sqrt(variance) / TRUNCATED_STD, seed)


def glorot_uniform(tensor: Tensor, seed: int | None = None) -> None:
    """Uniform in ±sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    variance_scaling(tensor, 1.0, "fan_avg", "uniform", seed)


def glorot_normal(tensor: Tensor, seed: int | None = None) -> None:
    """Truncated normal of variance 2 / (fan_in + fan_out) (Glorot and Bengio, 2010)."""
    variance_scaling(tensor, 1.0, "fan_avg", "truncated_normal", seed)


def he_uniform(tensor: Tensor, seed: int | None = None) -> None:
    """Uniform in ±sqrt(6 / fan_in) (He et al., 2015)."""
    variance_scaling(tensor, 2.0, "fan_in", "uniform", seed)


def he_normal(tensor: Tensor, seed: int | None = None) -> None:
    """Truncated normal of variance 2 / fan_in (He et al., 2015)."""
    variance_scaling(tensor, 2.0, "fan_in", "truncated_normal", seed)


def lecun_uniform(tensor: Tensor, seed: int | None = None) -> None:
    """Uniform in ±sqrt(3 / fan_in) (LeCun et al., 1998)."""
    variance_scaling(tensor, 1.0, "fan_in", "uniform", seed)


def lecun_normal(tensor: Tensor, seed: int | None = None) -> None:
    """Truncated normal of variance 1 / fan_in (LeCun et al., 1998)."""
    variance_scaling(tensor, 1.0, "fan_in", "truncated_normal", seed)
