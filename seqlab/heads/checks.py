"""Small checks of options, each with one clear line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.errors import OptionError, did_you_mean
from seqlab.options.resolve import check_fraction


def check_share(name: str, value: Any) -> float:
    """``value`` as a float in [0, 1].

    >>> check_share("teacher_forcing", 1)
    1.0

    Raises:
        OptionError: it is no number or lies outside.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise OptionError(f"{name} must be a number from 0 to 1, got {value!r}")
    return float(value)


def check_count(name: str, value: Any, *, least: int = 1) -> int:
    """``value`` as an int of at least ``least``.

    >>> check_count("width", 4)
    4

    Raises:
        OptionError: it is no whole number or too small.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise OptionError(f"{name} must be an int of at least {least}, got {value!r}")
    return value


def check_positive(name: str, value: Any) -> float:
    """``value`` as a float above 0.

    Raises:
        OptionError: it is no number, not finite, or not above 0.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < float("inf"):
        raise OptionError(f"{name} must be a number above 0, got {value!r}")
    return float(value)


def check_keys(name: str, value: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping's values over the defaults in ``known``; None gives the defaults.

    Raises:
        OptionError: it is no mapping, or has a key that ``known`` has not.
    """
    if value is None:
        return dict(known)
    if not isinstance(value, Mapping):
        raise OptionError(f"{name} must be a mapping, got {value!r}")
    for key in value:
        if key not in known:
            raise OptionError(f"{name} has no key '{key}': {did_you_mean(str(key), known)}")
    return {**known, **value}


def dropout(name: str, probability: Any) -> nn.Module:
    """A dropout module that costs nothing when the probability is 0.

    Raises:
        OptionError: the probability is not in [0, 1); ``name`` is the option it came from.
    """
    probability = check_fraction(name, probability)
    return nn.Dropout(probability) if probability > 0 else nn.Identity()


def at_least_float32(x: Tensor) -> Tensor:
    """Half-precision scores as float32, so that losses keep their digits under autocast."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
