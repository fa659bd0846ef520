"""The negative binomial distribution by its mean m and dispersion a: variance m + a m^2."""

from __future__ import annotations

import torch
from torch import Tensor

#: Terms of the continued fraction; they fall fast behind the root of the larger argument.
_TERMS = 2000
_TINY = 1e-300


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
    """``P(K <= count)``: the regularised incomplete beta function I_{r / (r + m)}(r, count + 1)."""
    r = 1 / dispersion
    found = _regularised_beta(r, count + 1, mean / r)
    return torch.where(count < 0, torch.zeros_like(found), found)


def quantile(mean: Tensor, dispersion: Tensor, levels: tuple[float, ...]) -> Tensor:
    """``[..., Q]``: the least counts whose cumulative probability reaches the levels."""
    level = torch.tensor(levels, dtype=torch.float64, device=mean.device)
    shape = (*mean.shape, len(levels))
    m, a, wanted = (x.expand(shape) for x in (mean.unsqueeze(-1), dispersion.unsqueeze(-1), level))
    low, high = torch.full_like(m, -1.0), (m + 1).ceil()
    while bool((short := cumulative(high, m, a) < wanted).any()):
        low, high = torch.where(short, high, low), torch.where(short, 2 * high, high)
    while bool((high - low > 1).any()):
        middle = ((low + high) / 2).floor()
        reached = cumulative(middle, m, a) >= wanted
        low, high = torch.where(reached, low, middle), torch.where(reached, middle, high)
    return high


def _regularised_beta(a: Tensor, b: Tensor, odds: Tensor) -> Tensor:
    """``I_x(a, b)`` with ``x = 1 / (1 + odds)``, by its continued fraction.

    Press, Teukolsky, Vetterling and Flannery (2007), Numerical Recipes, section 6.4: the fraction
    falls fast where ``x < (a + 1) / (a + b + 2)``; elsewhere it is 1 less the other side's.
    """
    x, y = 1 / (1 + odds), odds / (1 + odds)
    log_front = torch.lgamma(a + b) - torch.lgamma(a) - torch.lgamma(b)
    log_front = log_front - a * torch.log1p(odds) - b * torch.log1p(1 / odds)
    swap = x > (a + 1) / (a + b + 2)
    first, second = torch.where(swap, b, a), torch.where(swap, a, b)
    fraction = _fraction(first, second, torch.where(swap, y, x))
    found = log_front.exp() * fraction / first
    return torch.where(swap, 1 - found, found)


def _fraction(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """The continued fraction, by Lentz's method (1976)."""
    c = torch.ones_like(x)
    d = 1 / _not_zero(1 - (a + b) * x / (a + 1))
    found = d
    for term in range(1, _TERMS):
        even = term * (b - term) * x / ((a + 2 * term - 1) * (a + 2 * term))
        odd = -(a + term) * (a + b + term) * x / ((a + 2 * term) * (a + 2 * term + 1))
        for numerator in (even, odd):
            d = 1 / _not_zero(1 + numerator * d)
            c = _not_zero(1 + numerator / c)
            found = found * (c * d)
        if bool(((c * d - 1).abs() < 1e-12).all()):
            break
    return found


def _not_zero(x: Tensor) -> Tensor:
    return torch.where(x.abs() < _TINY, torch.full_like(x, _TINY), x)
