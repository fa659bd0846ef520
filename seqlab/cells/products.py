"""The matrix products of a gated cell, with masks for its gates and layer normalisation."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from seqlab.cells.noise import masked_product


def input_product(cell: Any, x_BTD: Tensor, mask: Tensor | None) -> Tensor:
    """``W_ih x + b`` for all times, ``[B, T, G*H]``; the mask is ``[B, 1, D]`` or ``[B, G, D]``."""
    if mask is not None and mask.shape[1] > 1:
        mask = mask.unsqueeze(1)
    if cell.norm_ih is None:
        return masked_product(x_BTD, cell.weight_ih, mask, cell.bias)
    return _normalise(masked_product(x_BTD, cell.weight_ih, mask), cell.norm_ih, cell.bias)


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
