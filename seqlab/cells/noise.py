"""The random masks of one sequence, drawn before its first step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Noise(NamedTuple):
    """Masks that a gated cell applies; None means that kind is off.

    ``input_mask`` is ``[B, 1, D]``, ``recurrent_mask`` ``[B, P]`` (P the width of what the
    recurrent matrix multiplies) and ``weight_mask`` ``[G*H, P]``, or ``[G*H, H / heads]`` for the
    blocks of ``heads``, each 0 or 1 / (1 - rate). With
    ``untied_dropout`` they are ``[B, G, D]`` and ``[B, G, P]``; G counts the gates of each matrix,
    and D the inputs that the input matrix sees. ``zoneout`` holds for each state
    field ``[T, B, H]`` (``[B, H]`` after ``at``): 1 where the new value is taken, 0 where the old
    one stays.
    """

    input_mask: Tensor | None = None
    recurrent_mask: Tensor | None = None
    weight_mask: Tensor | None = None
    zoneout: tuple[Tensor | None, ...] | None = None

    def at(self, t: int) -> Noise:
        """The masks of step ``t``."""
        if self.zoneout is None:
            return self
        return self._replace(zoneout=tuple(None if z is None else z[t] for z in self.zoneout))


def draw_noise(
    cell: Any, batch_size: int, steps: int, *, device: torch.device, dtype: torch.dtype
) -> Noise | None:
    """The masks of one sequence for a gated cell, from its rates; None where all are zero.

    Args:
        cell: the cell.
        batch_size: B.
        steps: T.
        device: where the masks are to be.
        dtype: their type.
    """
    rates = (cell.dropout, cell.recurrent_dropout, cell.weight_dropout, *cell.zoneout)
    if not any(rates):
        return None
    like = torch.empty(0, device=device, dtype=dtype)
    keep = tuple(
        dropout_mask(like, (steps, batch_size, width), rate, scale=False)
        for width, rate in zip(cell.state_sizes, cell.zoneout, strict=True)
    )
    inputs, gates = len(cell.input_gates), len(cell.recurrent_gates)
    own = inputs if cell.untied_dropout else 1
    untied = (gates,) if cell.untied_dropout and gates > 1 else ()
    rows = gates * cell.hidden_size
    return Noise(
        dropout_mask(like, (batch_size, own, cell.kernel_size), cell.dropout),
        dropout_mask(like, (batch_size, *untied, cell.recurrent_size), cell.recurrent_dropout),
        dropout_mask(
            cell.weight_ih.detach(), (rows, cell.recurrent_size // cell.heads), cell.weight_dropout
        ),
        keep if any(cell.zoneout) else None,
    )


def dropout_mask(
    like: Tensor, shape: Sequence[int], rate: float, *, scale: bool = True
) -> Tensor | None:
    """A mask of ``shape``: 0 with probability ``rate``, else 1 (or 1 / (1 - rate), scaled)."""
    if not rate:
        return None
    keep = torch.empty(tuple(shape), device=like.device, dtype=like.dtype).bernoulli_(1.0 - rate)
    return keep.div_(1.0 - rate) if scale else keep


def masked_product(
    value: Tensor, weight: Tensor, mask: Tensor | None, bias: Tensor | None = None
) -> Tensor:
    """``W (mask * value) + b``, where the mask may be one for each gate.

    Args:
        value: ``[..., P]``.
        weight: ``[G*H, P]``.
        mask: None, a mask with as many dimensions as ``value``, or with one more before the
            last, of size G: a mask for each gate's rows of the matrix.
        bias: ``[G*H]`` or None.

    Returns:
        ``[..., G*H]``.
    """
    if mask is None:
        return F.linear(value, weight, bias)
    if mask.dim() == value.dim():
        return F.linear(value * mask, weight, bias)
    gates = weight.view(mask.shape[-2], -1, weight.shape[1])
    masked = value.unsqueeze(-2) * mask
    product = torch.einsum("...gp,ghp->...gh", masked, gates).flatten(-2)
    return product if bias is None else product + bias
