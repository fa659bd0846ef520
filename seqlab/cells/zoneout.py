"""Zoneout: units that keep their old state at random (Krueger et al., 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from seqlab.schema import with_defaults


def zoneout_rates(value: float | Mapping[str, float], fields: Sequence[str]) -> tuple[float, ...]:
    """The rate of each state field, from one rate or a mapping.

    >>> zoneout_rates({"cell": 0.5}, ("hidden", "cell"))
    (0.0, 0.5)

    Raises:
        OptionError: the mapping names no state field.
    """
    if not isinstance(value, Mapping):
        return (value,) * len(fields)
    return tuple(with_defaults(value, dict.fromkeys(fields, 0.0), "zoneout").values())


def zone_out(
    output: Tensor,
    new: Any,
    old: Any,
    rates: Sequence[float],
    keep: Sequence[Tensor | None] | None,
) -> tuple[Tensor, Any]:
    """The output and the state after zoneout; an output that is a state field changes with it.

    Args:
        output: ``[B, H]``.
        new: the state after the step.
        old: the state before it.
        rates: one for each state field.
        keep: for each field 1 where the new value is taken and 0 where the old one stays,
            ``[B, H]``; None for the expectation.
    """
    mixed = []
    for index, rate in enumerate(rates):
        mask = None if keep is None else keep[index]
        if not rate:
            mixed.append(new[index])
        elif mask is None:
            # products under autocast are of fewer digits than the state
            mixed.append(torch.lerp(new[index].to(old[index].dtype), old[index], rate))
        else:
            mixed.append(torch.where(mask > 0, new[index], old[index]))
    shown = next((m for m, n in zip(mixed, new, strict=True) if n is output), output)
    return shown, type(new)(*mixed)
