"""Activations under Keras's names; all keep the shape but ``glu``, which no cell can take.

Unless a source is given, the definitions are those of Keras 3's documentation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlab.repeatable import cumulative_sum


def linear(x: Tensor) -> Tensor:
    """``x``."""
    return x


def tanh(x: Tensor) -> Tensor:
    """``(e^x - e^-x) / (e^x + e^-x)``."""
    return torch.tanh(x)


def sigmoid(x: Tensor) -> Tensor:
    """``1 / (1 + e^-x)``."""
    return torch.sigmoid(x)


def relu(
    x: Tensor,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> Tensor:
    """``x`` from threshold up, at most max_value; below, ``negative_slope * (x - threshold)``."""
    if negative_slope == 0 and max_value is None and threshold == 0:
        return torch.relu(x)
    above = torch.where(x > threshold, x, torch.zeros_like(x))
    if max_value is not None:
        above = above.clamp(0.0, max_value)
    return above - negative_slope * torch.relu(threshold - x)


def leaky_relu(x: Tensor, negative_slope: float = 0.2) -> Tensor:
    """``x`` where positive, else ``negative_slope * x`` (Maas et al., 2013)."""
    return F.leaky_relu(x, negative_slope)


def relu6(x: Tensor) -> Tensor:
    """``min(max(x, 0), 6)``."""
    return F.relu6(x)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """``x`` where positive, else ``alpha (e^x - 1)`` (Clevert et al., 2016)."""
    return F.elu(x, alpha)


def selu(x: Tensor) -> Tensor:
    """``1.0507 elu(x, 1.67326)``, with the constants in full (Klambauer et al., 2017)."""
    return F.selu(x)


def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """``max(x, 0) + min(alpha (e^(x / alpha) - 1), 0)`` (Barron, 2017)."""
    return F.celu(x, alpha)


def gelu(x: Tensor, approximate: bool = False) -> Tensor:
    """``x Phi(x)``, or its tanh approximation (Hendrycks and Gimpel, 2016)."""
    return F.gelu(x, approximate="tanh" if approximate else "none")


def glu(x: Tensor, axis: int = -1) -> Tensor:
    """``a * sigmoid(b)`` of the two halves of x (Dauphin et al., 2017): half as wide."""
    return F.glu(x, axis)


def silu(x: Tensor) -> Tensor:
    """``x sigmoid(x)``, also called swish (Ramachandran et al., 2017)."""
    return F.silu(x)


def mish(x: Tensor) -> Tensor:
    """``x tanh(softplus(x))`` (Misra, 2019)."""
    return F.mish(x)


def softplus(x: Tensor) -> Tensor:
    """``log(1 + e^x)``."""
    return F.softplus(x)


def softsign(x: Tensor) -> Tensor:
    """``x / (1 + |x|)``."""
    return F.softsign(x)


def squareplus(x: Tensor, b: float = 4.0) -> Tensor:
    """``(x + sqrt(x^2 + b)) / 2`` (Barron, 2021)."""
    return (x + torch.sqrt(x * x + b)) / 2


def exponential(x: Tensor) -> Tensor:
    """``e^x``."""
    return torch.exp(x)


def hard_sigmoid(x: Tensor) -> Tensor:
    """``min(max(x / 6 + 1/2, 0), 1)``, Keras 3's slope."""
    return F.hardsigmoid(x)


def hard_silu(x: Tensor) -> Tensor:
    """``x hard_sigmoid(x)``, also called hard swish (Howard et al., 2019)."""
    return F.hardswish(x)


def hard_tanh(x: Tensor) -> Tensor:
    """``min(max(x, -1), 1)``."""
    return F.hardtanh(x)


def tanh_shrink(x: Tensor) -> Tensor:
    """``x - tanh(x)``."""
    return F.tanhshrink(x)


def soft_shrink(x: Tensor, threshold: float = 0.5) -> Tensor:
    """``sign(x) max(|x| - threshold, 0)``."""
    return F.softshrink(x, threshold)


def hard_shrink(x: Tensor, threshold: float = 0.5) -> Tensor:
    """``x`` where ``|x| > threshold``, else 0."""
    return F.hardshrink(x, threshold)


def threshold(x: Tensor, threshold: float, default_value: float) -> Tensor:
    """``x`` where above threshold, else default_value."""
    return F.threshold(x, threshold, default_value)


def sparse_plus(x: Tensor) -> Tensor:
    """0 up to -1, ``(x + 1)^2 / 4`` up to 1, then ``x``."""
    return torch.where(x >= 1, x, (x.clamp(-1.0, 1.0) + 1).square() / 4)


def sparse_sigmoid(x: Tensor) -> Tensor:
    """``min(max((x + 1) / 2, 0), 1)``."""
    return ((x + 1) / 2).clamp(0.0, 1.0)


def log_sigmoid(x: Tensor) -> Tensor:
    """``log(sigmoid(x))``."""
    return F.logsigmoid(x)


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """``e^x`` divided by its sum over the units."""
    return torch.softmax(x, axis)


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """``log(softmax(x))``."""
    return torch.log_softmax(x, axis)


def sparsemax(x: Tensor, axis: int = -1) -> Tensor:
    """The nearest point of the probability simplex (Martins and Astudillo, 2016)."""
    ordered = x.sort(axis, descending=True).values
    shape = [1] * x.dim()
    shape[axis] = -1
    rank = torch.arange(1, x.shape[axis] + 1, device=x.device, dtype=x.dtype).view(shape)
    surplus = cumulative_sum(ordered, axis) - 1
    size = (rank * ordered > surplus).sum(axis, keepdim=True)
    return (x - surplus.gather(axis, size - 1) / size).clamp_min(0.0)
