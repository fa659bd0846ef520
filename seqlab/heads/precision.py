"""Scores keep their digits under autocast."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Half-precision scores as float32, so that losses keep their digits under autocast."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
