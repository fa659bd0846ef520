"""The negative binomial distribution by its mean m and dispersion a: variance m + a m^2."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def log_probability(count: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """``log P(count)``, with r = 1 / a failures.

        lgamma(k + r) - lgamma(k + 1) - lgamma(r) + r log(r / (r + m)) + k log(m / (r + m))

    >>> one = torch.tensor(1.0, dtype=torch.float64)
    >>> float(log_probability(torch.tensor([0.0, 1.0, 2.0]), one, one).exp().sum())  # 1/2 1/4 1/8
    0.875
    """
    r = 1 / dispersion
    ways = torch.lgamma(count + r) - torch.lgamma(count + 1) - torch.lgamma(r)
    return ways - r * torch.log1p(mean / r) - count * torch.log1p(r / mean)


def cumulative(count: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """``P(K <= count)``: the regularised incomplete beta function I_{r / (r + m)}(r, count + 1).

    It is SciPy's. Near a Poisson distribution ``r / (r + m)`` is too near 1 for its digits, and the
    other side's complement is taken.
    """
    from scipy import special  # takes a tenth of a second, and few models need it

    k, m, r = (_array(each) for each in (count, mean, 1 / dispersion))
    below = special.betainc(r, k + 1, r / (r + m))
    beyond = special.betaincc(k + 1, r, m / (r + m))
    return torch.as_tensor(np.where(k < 0, 0.0, np.where(m > r, below, beyond))).to(count)


def quantile(mean: Tensor, dispersion: Tensor, levels: tuple[float, ...]) -> Tensor:
    """``[..., Q]``: the least counts whose cumulative probability reaches the levels."""
    level = torch.tensor(levels, dtype=torch.float64, device=mean.device)
    shape = (*mean.shape, len(levels))
    m, a, wanted = (x.expand(shape) for x in (mean.unsqueeze(-1), dispersion.unsqueeze(-1), level))
    low, high = torch.full_like(m, -1.0), (m + 1).ceil()
    while bool((short := cumulative(high, m, a) < wanted).any()):
        low, high = torch.where(short, high, low), torch.where(short, 2 * high, high)
    middle = ((low + high) / 2).floor()
    while bool(((low < middle) & (middle < high)).any()):
        reached = cumulative(middle, m, a) >= wanted
        low, high = torch.where(reached, low, middle), torch.where(reached, middle, high)
        middle = ((low + high) / 2).floor()
    return high


def _array(values: Tensor) -> Any:
    return values.detach().cpu().double().numpy()
