"""The input projection ``W x + b`` of all steps, into memory that large tensors get fast."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqlab.cells.gated import GatedCell
from seqlab.cells.noise import Noise
from seqlab.engines.memory import new_empty


def project(cell: GatedCell, x_TBD: Tensor, noise: Noise | None) -> Tensor:
    """``cell.project`` of a contiguous ``[T, B, D]``: ``[T, B, G*H]``.

    The plain product, of no masks and no normalisation, is written into memory of its own.
    """
    if cell.norm_ih is not None or x_TBD.dtype != cell.weight_ih.dtype:
        return cell.project(x_TBD, noise)
    projected: Tensor = _Projection.apply(x_TBD, cell.weight_ih, cell.bias)  # type: ignore[no-untyped-call]  # autograd's own
    return projected


class _Projection(torch.autograd.Function):
    """``torch.nn.functional.linear`` with memory of our choice; its gradient is differentiable."""

    @staticmethod
    def forward(ctx: Any, x_TBD: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        steps, batch, _ = x_TBD.shape
        ctx.save_for_backward(x_TBD, weight)
        out = new_empty(x_TBD, steps * batch, weight.shape[0])
        flat = x_TBD.flatten(0, 1)
        if bias is None:
            torch.mm(flat, weight.T, out=out)
        else:
            torch.addmm(bias, flat, weight.T, out=out)
        return out.view(steps, batch, -1)

    @staticmethod
    def backward(ctx: Any, d_TBG: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x_TBD, weight = ctx.saved_tensors
        for_x, for_weight, for_bias = ctx.needs_input_grad
        flat = d_TBG.flatten(0, 1)
        with torch.autocast("cpu", enabled=False):
            return (
                (flat @ weight).view_as(x_TBD) if for_x else None,
                flat.T @ x_TBD.flatten(0, 1) if for_weight else None,
                flat.sum(0) if for_bias else None,
            )
