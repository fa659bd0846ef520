"""Small checks of options, each with one clear line."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seqlab.schema import Fraction, check_value


def dropout(name: str, probability: Any) -> nn.Module:
    """A dropout module that costs nothing when the probability is 0.

    Raises:
        OptionError: the probability is not in [0, 1); ``name`` is the option it came from.
    """
    probability = check_value(probability, Fraction, name)
    return nn.Dropout(probability) if probability > 0 else nn.Identity()


def at_least_float32(x: Tensor) -> Tensor:
    """Half-precision scores as float32, so that losses keep their digits under autocast."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
