"""Activations: elementwise functions, under Keras's names."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def linear(x: Tensor) -> Tensor:
    """``x``."""
    return x


def tanh(x: Tensor) -> Tensor:
    """``(e^x - e^-x) / (e^x + e^-x)``."""
    return torch.tanh(x)


def sigmoid(x: Tensor) -> Tensor:
    """``1 / (1 + e^-x)``."""
    return torch.sigmoid(x)


def relu(x: Tensor) -> Tensor:
    """``max(x, 0)``."""
    return torch.relu(x)


def hard_sigmoid(x: Tensor) -> Tensor:
    """``min(max(x / 6 + 1/2, 0), 1)``, Keras 3's slope."""
    return F.hardsigmoid(x)
