"""Each row of a feature brought to a size of its own, by what is known of it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

#: ``none``; ``mean``: divided by the mean size of its steps; ``standard``: its mean taken off,
#: divided by its deviation.
RowScale = Literal["none", "mean", "standard"]


def row_scale(name: str, x_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Center and size ``[B, 1, D]`` of each row; size 1 where a row is 0 or never varies.

        mean        center 0, size mean |x_t|       (DeepAR: Salinas and others 2020, without + 1)
        standard    center mean x_t, size std x_t   (RevIN: Kim and others 2022)

    >>> x, mask = torch.tensor([[[2.0], [4.0], [9.0]]]), torch.tensor([[True, True, False]])
    >>> [part.flatten().tolist() for part in row_scale("mean", x, mask)]
    [[0.0], [3.0]]
    >>> [part.flatten().tolist() for part in row_scale("standard", x, mask)]
    [[3.0], [1.0]]
    """
    real = mask_BT.unsqueeze(-1)
    x = x_BTD.double().masked_fill(~real, 0.0)
    count = real.sum(1, keepdim=True).clamp(min=1)
    center = x.sum(1, keepdim=True) / count
    if name == "standard":
        size = ((x - center).masked_fill(~real, 0.0).square().sum(1, keepdim=True) / count).sqrt()
    else:
        center = torch.zeros_like(center)
        size = x.abs().sum(1, keepdim=True) / count
    flat = size <= 1e-9 * (center.abs() + 1e-30)
    return center, torch.where(flat, torch.ones_like(size), size)
