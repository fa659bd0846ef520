"""Initializers: they fill a ``[fan_in, fan_out]`` tensor (or a bias vector) in place."""

from __future__ import annotations

import math

from torch import Tensor, nn


def zeros(tensor: Tensor) -> None:
    """All 0."""
    tensor.zero_()


def ones(tensor: Tensor) -> None:
    """All 1."""
    tensor.fill_(1.0)


def glorot_uniform(tensor: Tensor) -> None:
    """Uniform in ±sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    limit = math.sqrt(6.0 / sum(tensor.shape))
    tensor.uniform_(-limit, limit)


def orthogonal(tensor: Tensor, gain: float = 1.0) -> None:
    """Rows or columns orthonormal, times ``gain`` (Saxe et al., 2014)."""
    nn.init.orthogonal_(tensor, gain)
