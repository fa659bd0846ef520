"""What every loop over time needs: one step of a projected sequence, and masked choice."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def at_time(projected: Any, t: int) -> Any:
    """Step ``t`` of what ``project`` returned: a tensor ``[B, T, ...]`` or a tuple of them."""
    if isinstance(projected, Tensor):
        return projected[:, t]
    parts = [at_time(part, t) for part in projected]
    return type(projected)(*parts) if hasattr(projected, "_fields") else tuple(parts)


def each_time(projected: Any) -> list[Any]:
    """All steps of what ``project`` returned; its gradient is one operation, not one a step."""
    if isinstance(projected, Tensor):
        return list(projected.unbind(1))
    parts = zip(*(each_time(part) for part in projected), strict=True)
    if hasattr(projected, "_fields"):
        return [type(projected)(*part) for part in parts]
    return list(parts)


def select(real_B: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Rows of ``new`` where real, else of ``old``."""
    return torch.where(real_B.view(-1, *[1] * (new.dim() - 1)), new, old)
