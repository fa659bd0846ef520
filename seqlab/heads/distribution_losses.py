"""Losses that are the negative log likelihood of a distribution, whose quantiles answers hold."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlab.heads.negative_binomial import log_probability, quantile
from seqlab.heads.regression_losses import RegressionLoss, Units, spread_out

#: The least deviation, in the outputs' units: a perfect fit has a finite likelihood.
_LEAST = 1e-3


class GaussianLoss(RegressionLoss):
    """``-log N(goal; y, s)`` with ``s = softplus(z_s) + 0.001`` (Nix and Weigend 1994).

    The likelihood is that of the scaled goal: a constant apart from that in the target's units.

    Args:
        levels: the quantiles to tell of, in rising order.
    """

    monitor = "pinball"
    parameters = 2

    def __init__(self, levels: tuple[float, ...]) -> None:
        self.levels = levels

    def cost(self, outputs: Tensor, target: Tensor, units: Units) -> Tensor:
        """See the class."""
        deviation = _deviation(outputs)
        distance = (units.scaled(target, outputs.dtype) - outputs[..., 0]) / deviation
        return 0.5 * distance.square() + deviation.log() + 0.5 * math.log(2 * math.pi)

    def quantiles(self, outputs: Tensor, units: Units) -> Tensor:
        """``y + s * inverse cdf(level)``."""
        levels = torch.tensor(self.levels, dtype=torch.float64, device=outputs.device)
        wide = outputs.double()
        spread = _deviation(wide).unsqueeze(-1) * torch.special.ndtri(levels)
        return spread_out(units).own(wide[..., :1] + spread)


class NegativeBinomialLoss(RegressionLoss):
    """``-log NB(goal; mean m, dispersion a)`` of counts, whose variance is ``m + a m^2``.

        m = scale * softplus(center / scale + z)        a = softplus(z_a)

    as in DeepAR (Salinas, Flunkert, Gasthaus and Januschowski 2020), where the center is 0. The
    number of an answer is the mean; the quantiles are exact.

    Args:
        levels: the quantiles to tell of, in rising order.
    """

    monitor = "pinball"
    parameters = 2
    expects = "a count: a whole number of at least 0"

    def __init__(self, levels: tuple[float, ...]) -> None:
        self.levels = levels

    def cost(self, outputs: Tensor, target: Tensor, units: Units) -> Tensor:
        """See the class."""
        mean, dispersion = _mean(outputs, units), _dispersion(outputs)
        return -log_probability(target.to(mean.dtype), mean, dispersion).to(outputs.dtype)

    def value(self, outputs: Tensor, units: Units) -> Tensor:
        """The mean."""
        return _mean(outputs, units)

    def quantiles(self, outputs: Tensor, units: Units) -> Tensor:
        """See the base class."""
        mean, dispersion = _mean(outputs, units), _dispersion(outputs)
        return quantile(mean, dispersion, self.levels)

    def impossible(self, target: Tensor) -> Tensor:
        """Numbers that are no counts."""
        return (target < 0) | (target != target.round())


def _deviation(outputs: Tensor) -> Tensor:
    return F.softplus(outputs[..., 1]) + _LEAST


def _mean(outputs: Tensor, units: Units) -> Tensor:
    """float64; never quite 0."""
    z = outputs[..., 0].double() + units.center / units.scale
    return units.scale * F.softplus(z).clamp(min=1e-12)


def _dispersion(outputs: Tensor) -> Tensor:
    return F.softplus(outputs[..., 1].double()).clamp(min=1e-6)
