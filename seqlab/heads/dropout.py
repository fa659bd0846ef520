"""A dropout layer that costs nothing where the probability is 0."""

from __future__ import annotations

from typing import Any

from torch import nn

from seqlab.schema import Fraction, check_value


def dropout(name: str, probability: Any) -> nn.Module:
    """A dropout module that costs nothing when the probability is 0.

    Raises:
        OptionError: the probability is not in [0, 1); ``name`` is the option it came from.
    """
    probability = check_value(probability, Fraction, name)
    return nn.Dropout(probability) if probability > 0 else nn.Identity()
