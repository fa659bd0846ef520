"""A pass over time with kernels of its own as one differentiable operation."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from seqlab.engines.double_backward import by_operations
from seqlab.engines.scan.linear_scan import adjoint

#: Of a, b and start.
Gradients = tuple[Tensor, Tensor, Tensor]


class Pass(Protocol):
    """Kernels of ``h_t = a_t h_{t-1} + b_t``; they need not be differentiable."""

    def forward(
        self, a: Tensor, b: Tensor, start: Tensor, mask: Tensor | None, *, reverse: bool
    ) -> tuple[Tensor, Tensor]:
        """All states ``[B, T, S]`` and the last of them."""

    def backward(
        self, a: Tensor, h: Tensor, start: Tensor, mask: Tensor | None, *,
        d_h: Tensor | None, d_last: Tensor | None, reverse: bool,
    ) -> Gradients:  # fmt: skip
        """The gradients, ``[B, T, S]`` twice and ``[B, S]``, from those of the states."""


class PassFunction(torch.autograd.Function):
    """A ``Pass`` for autograd; gradients of gradients are those of ``linear_scan``."""

    @classmethod
    def run(
        cls, kernels: Pass, a: Tensor, b: Tensor, start: Tensor, mask: Tensor | None, *,
        reverse: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """All states and the last of them."""
        h, last = cls.apply(kernels, a, b, start, mask, reverse)  # type: ignore[no-untyped-call]  # autograd's own
        return h, last

    @staticmethod
    def forward(  # noqa: PLR0917  # autograd passes them by place
        ctx: Any,
        kernels: Pass,
        a: Tensor,
        b: Tensor,
        start: Tensor,
        mask: Tensor | None,
        reverse: bool,
    ) -> tuple[Tensor, Tensor]:
        """See ``Pass.forward``."""
        h, last = kernels.forward(a, b, start, mask, reverse=reverse)
        ctx.save_for_backward(a, start, mask, h)
        ctx.kernels, ctx.reverse = kernels, reverse
        ctx.set_materialize_grads(False)
        return h, last

    @staticmethod
    def backward(
        ctx: Any, d_h: Tensor | None, d_last: Tensor | None
    ) -> tuple[None, Tensor, Tensor, Tensor, None, None]:
        """See ``Pass.backward``."""
        a, start, mask, h = ctx.saved_tensors
        if by_operations(d_h, d_last):
            d_h = _joined(h, d_h, d_last, reverse=ctx.reverse)
            found = _masked_adjoint(a, h, start, d_h, mask, reverse=ctx.reverse)
        else:
            found = ctx.kernels.backward(
                a, h, start, mask, d_h=d_h, d_last=d_last, reverse=ctx.reverse
            )
        return (None, *found, None, None)


def resolved(tensor: Tensor) -> Tensor:
    """The tensor, its last dimension contiguous and no lazy conjugate."""
    tensor = tensor.resolve_conj().resolve_neg()
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def _joined(h: Tensor, d_h: Tensor | None, d_last: Tensor | None, reverse: bool) -> Tensor:
    """One gradient of all states: the last one is the state of the step that ran last."""
    d_h = torch.zeros_like(h) if d_h is None else d_h
    if d_last is None:
        return d_h
    rest = h.shape[1] - 1
    around = (0, rest) if reverse else (rest, 0)
    return d_h + torch.nn.functional.pad(d_last.unsqueeze(1), (0, 0, *around))


def _masked_adjoint(
    a: Tensor, h: Tensor, start: Tensor, d_h: Tensor, mask: Tensor | None, *, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients in operations that can be differentiated again."""
    if mask is None:
        return adjoint(a, h, start, d_h, reverse=reverse)
    real = mask.unsqueeze(-1)
    d_a, d_b, d_start = adjoint(torch.where(real, a, 1.0), h, start, d_h, reverse=reverse)
    return d_a * real, d_b * real, d_start
