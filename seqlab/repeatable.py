"""Operations that torch has on GPUs only in a form whose sums have no fixed order.

With ``torch.use_deterministic_algorithms`` (``trainer.deterministic``) torch refuses them there;
these go another way then, and are torch's own everywhere else.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def cumulative_sum(x: Tensor, dim: int) -> Tensor:
    """``x.cumsum(dim)``.

    >>> cumulative_sum(torch.tensor([1.0, 2.0, 3.0]), 0).tolist()
    [1.0, 3.0, 6.0]
    """
    return _doubled_sum(x, dim) if _is_refused(x) else x.cumsum(dim)


def scattered_sum(x_BUT: Tensor, index_BUT: Tensor, size: int) -> Tensor:
    """``[B, U, size]``: the sum of the entries of x whose index is each number below ``size``.

    >>> x, index = torch.tensor([[[1.0, 2.0, 4.0]]]), torch.tensor([[[1, 0, 1]]])
    >>> scattered_sum(x, index, 3).tolist()
    [[[2.0, 5.0, 0.0]]]
    """
    if _is_refused(x_BUT):
        return torch.einsum("but,butv->buv", x_BUT, F.one_hot(index_BUT, size).to(x_BUT.dtype))
    return x_BUT.new_zeros(*x_BUT.shape[:2], size).scatter_add(2, index_BUT, x_BUT)


def ctc_loss(
    log_p_TBV: Tensor, target: Tensor, frames: Tensor, lengths: Tensor, **options: Any
) -> Tensor:
    """``torch.nn.functional.ctc_loss``; on the CPU where a GPU's gradient would not repeat."""
    given = (log_p_TBV, target, frames, lengths)
    if _is_refused(log_p_TBV):
        given = (log_p_TBV.cpu(), target.cpu(), frames.cpu(), lengths.cpu())
    return F.ctc_loss(*given, **options).to(log_p_TBV.device)


def _is_refused(x: Tensor) -> bool:
    return x.device.type == "cuda" and torch.are_deterministic_algorithms_enabled()


def _doubled_sum(x: Tensor, dim: int) -> Tensor:
    """Sums over 1, 2, 4, ... entries (Hillis and Steele, 1986)."""
    dim, size, reach = dim % x.dim(), x.shape[dim], 1
    while reach < size:
        later = x.narrow(dim, reach, size - reach) + x.narrow(dim, 0, size - reach)
        x = torch.cat([x.narrow(dim, 0, reach), later], dim)
        reach *= 2
    return x
