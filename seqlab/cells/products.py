"""The matrix products of a gated cell, with masks for its gates and layer normalisation."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlab.cells.noise import masked_product


def input_product(cell: Any, x_BTD: Tensor, mask: Tensor | None) -> Tensor:
    """``W_ih x + b`` for all times, and the raw inputs beside it: ``[B, T, (G + raw) * H]``.

    Args:
        cell: the gated cell.
        x_BTD: its input.
        mask: None, ``[B, 1, D]`` or ``[B, G, D]``.
    """
    seen = x_BTD if cell.kernel_size == x_BTD.shape[-1] else x_BTD[..., : cell.kernel_size]
    weight = cell.input_matrix()
    if mask is not None and mask.shape[1] > 1:
        mask = mask.unsqueeze(1)
    if cell.norm_ih is None:
        product = masked_product(seen, weight, mask, cell.bias)
    else:
        product = _normalise(masked_product(seen, weight, mask), cell.norm_ih, cell.bias)
    return torch.cat([product, *_raw(cell, x_BTD)], -1) if cell.raw else product


def _raw(cell: Any, x_BTD: Tensor) -> list[Tensor]:
    """The inputs that ``update`` is given without a matrix, each ``[B, T, H]``."""
    found, start = [], cell.kernel_size
    for width in cell.raw.values():
        if width == "all":
            found.append(x_BTD)
            continue
        found.append(x_BTD[..., start : start + width].expand(*x_BTD.shape[:-1], cell.hidden_size))
        start += width
    return found


def spread_heads(weight: Tensor, hidden: int, heads: int) -> Tensor:
    """The block-diagonal matrix ``[G*H, H]`` of each gate's heads, from its blocks.

    >>> spread_heads(torch.tensor([[1.0], [2.0]]), 2, 2).tolist()
    [[1.0, 0.0], [0.0, 2.0]]

    Args:
        weight: ``[G*H, H / heads]``.
        hidden: H.
        heads: the number of blocks of a gate.
    """
    width = hidden // heads
    blocks = weight.view(-1, heads, width, 1, width)
    places = torch.eye(heads, dtype=weight.dtype, device=weight.device)
    return (blocks * places.view(1, heads, 1, heads, 1)).reshape(weight.shape[0], hidden)


def recurrent_product(
    cell: Any, vector: Tensor, weight: Tensor, mask: Tensor | None, rows: slice
) -> tuple[Tensor, ...]:
    """The gates' parts, each ``[B, H]``, of one recurrent product.

    Args:
        cell: the gated cell.
        vector: what is multiplied, ``[B, H]``.
        weight: ``[G*H, P]``, the recurrent matrix as this sequence has it.
        mask: None, ``[B, P]`` or ``[B, G, P]``.
        rows: those of the matrix that the product takes.
    """
    size = cell.hidden_size
    if cell.weight_hr is not None and not cell.projects_state:
        vector = F.linear(vector, cell.weight_hr)
    if mask is not None and mask.dim() == 3:
        mask = mask[:, rows.start // size : rows.stop // size]
    bias = None if cell.recurrent_bias is None else cell.recurrent_bias[rows]
    if cell.norm_hh is None:
        product = masked_product(vector, weight[rows], mask, bias)
    else:
        product = masked_product(vector, weight[rows], mask)
        product = _normalise(product, cell.norm_hh[rows], bias)
    return product.chunk((rows.stop - rows.start) // size, -1)


def _normalise(value: Tensor, gain: Tensor, bias: Tensor | None) -> Tensor:
    return F.layer_norm(value, (value.shape[-1],), gain, bias)
