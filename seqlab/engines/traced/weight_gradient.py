"""The gradients of a recurrent matrix, from those of the products at all steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.engines.traced.blocks import block_gradient


class Multiplied(NamedTuple):
    """What a recurrent product multiplied, ``[T, B, P]``, for the gates from ``first`` on."""

    first: int
    last: int
    vector: Tensor


def transposed(left: Tensor, right: Tensor) -> Tensor:
    """``left.T @ right``."""
    return left.T @ right


def weight_gradient(
    d_TBR: Tensor,
    products: Sequence[Multiplied],
    hidden: int,
    drop: Tensor | None,
    blocks: int = 1,
    *,
    multiply: Callable[[Tensor, Tensor], Tensor] = transposed,
) -> Tensor:
    """``[G*H, P]``: one product over all steps for rows that multiplied the same vector.

    >>> d, vector = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0, 5.0]]])
    >>> weight_gradient(d, [Multiplied(0, 1, vector)], 2, None).tolist()
    [[3.0, 5.0], [6.0, 10.0]]

    Args:
        d_TBR: gradients of the products, ``[T, B, G*H]``; zero at masked steps.
        products: those that make gates, in order; G gates together.
        hidden: H.
        drop: what the vectors were multiplied by before, ``[B, 1 or G, P]``.
        blocks: those of a gate; more than one give ``[G*H, P / blocks]``.
        multiply: the product of one matrix, transposed, and another.
    """
    flat, parts = d_TBR.flatten(0, 1), []
    for rows, vector in _factors(products, hidden, drop):
        d, multiplied = flat[:, rows], vector.flatten(0, 1)
        whole = blocks == 1
        parts.append(multiply(d, multiplied) if whole else block_gradient(d, multiplied, blocks))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _factors(
    products: Sequence[Multiplied], hidden: int, drop: Tensor | None
) -> Iterator[tuple[slice, Tensor]]:
    """Rows of the matrix, and what they multiplied at each step: ``[T, B, P]``."""
    for first, last, vector in products:
        if drop is None:
            yield slice(first * hidden, last * hidden), vector
            continue
        tied = drop.shape[1] == 1
        for gate in [first] if tied else range(first, last):
            rows = slice(gate * hidden, (last if tied else gate + 1) * hidden)
            yield rows, vector * drop[:, 0 if tied else gate]
