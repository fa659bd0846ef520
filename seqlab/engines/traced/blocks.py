"""Recurrent matrices with blocks on their diagonal: how many blocks, and their gradients."""

from __future__ import annotations

import torch
from torch import Tensor

#: The least size of a block, and multiplications of a whole matrix, from which a product of each
#: block is faster than one of the whole matrix of which the blocks are taken.
LEAST_SIZE, LEAST_WORK = 4, 1 << 23


def blocks_of(weight: Tensor | None, inner: int) -> int:
    """The number of blocks, from ``[G*H, P / blocks]`` and P; 1 for a whole matrix or none.

    >>> blocks_of(torch.zeros(8, 2), 4)
    2
    """
    return 1 if weight is None else inner // weight.shape[1]


def block_gradient(d_NR: Tensor, vector_NH: Tensor, blocks: int) -> Tensor:
    """The gradient ``[R, H / blocks]`` of the blocks of R rows, R a multiple of H.

    >>> block_gradient(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 5.0]]), 2).tolist()
    [[3.0], [10.0]]

    Args:
        d_NR: gradients of the products, of all rows and steps.
        vector_NH: what was multiplied.
        blocks: those of a gate.
    """
    units = vector_NH.shape[1]
    size = units // blocks
    if size == 1:
        gates = d_NR.view(len(d_NR), d_NR.shape[1] // units, units)
        return (gates * vector_NH.unsqueeze(1)).sum(0).view(-1, 1)
    if size < LEAST_SIZE or d_NR.numel() * units < LEAST_WORK:
        whole = (d_NR.T @ vector_NH).view(d_NR.shape[1] // units, blocks, size, blocks, size)
        return whole.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2).reshape(-1, size)
    steps = len(d_NR)
    vector = vector_NH.reshape(steps, blocks, size).transpose(0, 1)
    found = [
        d.view(steps, blocks, size).permute(1, 2, 0) @ vector for d in torch.split(d_NR, units, 1)
    ]
    return torch.cat(found).flatten(0, 1)
