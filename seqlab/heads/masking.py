"""Masks with holes: drawing the real steps together, and softmax over real steps only."""

from __future__ import annotations

import torch
from torch import Tensor

from seqlab.types import Encoded


def clean_output(encoded: Encoded) -> Tensor:
    """The encoder's output ``[B, T, E]`` with zeros at padded steps, whatever stood there."""
    return encoded.output.masked_fill(~encoded.mask.unsqueeze(-1), 0.0)


def compact_order(mask_BT: Tensor) -> Tensor:
    """For each row the positions of its real steps, in order, and then those of the others.

    >>> compact_order(torch.tensor([[True, False, True]]))
    tensor([[0, 2, 1]])
    """
    return torch.argsort(mask_BT.to(torch.uint8), dim=1, descending=True, stable=True)


def take_steps(x: Tensor, order_BT: Tensor) -> Tensor:
    """``x [B, T]`` or ``[B, T, D]`` with its steps in another order."""
    if x.dim() == 2:
        return x.gather(1, order_BT)
    return x.gather(1, order_BT.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last axis, over real entries only; all zero where there is none.

    Args:
        scores: ``[..., T]``; computed in float32 at least.
        mask: boolean, broadcastable to ``scores``.
    """
    if scores.dtype in (torch.float16, torch.bfloat16):
        scores = scores.float()
    low = torch.finfo(scores.dtype).min
    return scores.masked_fill(~mask, low).softmax(-1).masked_fill(~mask, 0.0)
