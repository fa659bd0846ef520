"""Dropout: nothing where the probability is 0, and one mask for all steps."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from seqlab.schema import Fraction, check_value


def dropout(name: str, probability: Any) -> nn.Module:
    """A dropout module that costs nothing when the probability is 0.

    Raises:
        OptionError: the probability is not in [0, 1); ``name`` is the option it came from.
    """
    probability = check_value(probability, Fraction, name)
    return nn.Dropout(probability) if probability > 0 else nn.Identity()


class LockedDropout(nn.Module):
    """Dropout with one mask for all steps of a row (Gal and Ghahramani 2016).

    Args:
        probability: that a unit is left out, in training.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x_BTD: Tensor) -> Tensor:
        """``[B, T, D]`` to the same."""
        if not (self.training and self.probability):
            return x_BTD
        ones = x_BTD.new_ones(x_BTD.shape[0], 1, x_BTD.shape[2])
        return x_BTD * F.dropout(ones, self.probability)
