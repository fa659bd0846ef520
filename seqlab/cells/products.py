"""The matrix products of a gated cell, with masks for its gates and layer normalisation."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlab.cells.noise import masked_product

#: Zeros of a block-diagonal matrix from which steps multiply by each block, and by a diagonal;
#: with fewer, one product with the whole matrix takes less time.
WORTH_BLOCKS, WORTH_DIAGONAL = 1 << 17, 1 << 15


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


def whole_matrix(cell: Any, weight: Tensor) -> Tensor:
    """``[G*H, P]`` of a recurrent matrix or of its blocks ``[G*H, H / heads]``; None stays None."""
    if weight is None or weight.shape[1] == cell.recurrent_size:
        return weight
    return spread_heads(weight, cell.hidden_size, cell.heads)


def weight_of_steps(cell: Any, weight: Tensor) -> Tensor:
    """A recurrent matrix, or its blocks, in the form that steps multiply by, once a run.

    Args:
        cell: the gated cell.
        weight: ``[G*H, P]``, or the blocks ``[G*H, H / heads]``.

    Returns:
        ``[G*H, P]``, or ``[heads, H / heads, G * H / heads]`` where single blocks are worth it.
    """
    if weight is None or weight.shape[1] == cell.recurrent_size:
        return weight
    size = cell.hidden_size // cell.heads
    zeros = weight.numel() * (cell.heads - 1)
    if zeros < (WORTH_DIAGONAL if size == 1 else WORTH_BLOCKS):
        return whole_matrix(cell, weight)
    parts = weight.view(-1, cell.heads, size, size).permute(1, 3, 0, 2)
    return parts.reshape(cell.heads, size, -1)


def recurrent_product(
    cell: Any, vector: Tensor, weight: Tensor, mask: Tensor | None, rows: slice
) -> tuple[Tensor, ...]:
    """The gates' parts, each ``[B, H]``, of one recurrent product.

    Args:
        cell: the gated cell.
        vector: what is multiplied, ``[B, H]``.
        weight: the recurrent matrix as this sequence has it, in the form of ``weight_of_steps``.
        mask: None, ``[B, P]`` or ``[B, G, P]``.
        rows: those of the matrix that the product takes.
    """
    size = cell.hidden_size
    if cell.weight_hr is not None and not cell.projects_state:
        vector = F.linear(vector, cell.weight_hr)
    if mask is not None and mask.dim() == 3:
        mask = mask[:, rows.start // size : rows.stop // size]
    bias = None if cell.recurrent_bias is None else cell.recurrent_bias[rows]
    own = bias if cell.norm_hh is None else None
    if weight.dim() == 3:
        product = _product_by_head(vector, weight, mask, own, rows)
    else:
        product = masked_product(vector, weight[rows], mask, own)
    if cell.norm_hh is not None:
        product = _normalise(product, cell.norm_hh[rows], bias)
    return product.chunk((rows.stop - rows.start) // size, -1)


def _product_by_head(
    vector: Tensor, weight: Tensor, mask: Tensor | None, bias: Tensor | None, rows: slice
) -> Tensor:
    """``masked_product`` by the blocks ``[heads, H / heads, G * H / heads]``."""
    heads, size, _ = weight.shape
    part = weight[..., rows.start // heads : rows.stop // heads]
    batch, gates = vector.shape[0], part.shape[2] // size
    if mask is not None and mask.dim() == 3:
        masked = (vector.unsqueeze(1) * mask).reshape(batch, gates, heads, size)
        parts = torch.einsum("bgni,nigo->bgno", masked, part.reshape(heads, size, gates, size))
    elif size == 1:
        masked = vector if mask is None else vector * mask
        parts = masked.unsqueeze(1) * part.view(heads, gates).T
    else:
        masked = vector if mask is None else vector * mask
        by_head = masked.reshape(batch, heads, size).transpose(0, 1) @ part
        parts = by_head.reshape(heads, batch, gates, size).permute(1, 2, 0, 3)
    product = parts.flatten(1)
    return product if bias is None else product + bias


def _normalise(value: Tensor, gain: Tensor, bias: Tensor | None) -> Tensor:
    return F.layer_norm(value, (value.shape[-1],), gain, bias)
