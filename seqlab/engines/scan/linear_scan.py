"""The associative scan of linear recurrences in torch's own operations, for every device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqlab.engines.double_backward import many_at_once

#: Below this many steps the plain loop over ``h = a h + b`` is as fast.
SHORT = 16


def linear_scan(a: Tensor, b: Tensor, start: Tensor, *, reverse: bool = False) -> Tensor:
    """``h_t = a_t h_{t-1} + b_t`` for all t, in time linear in T and depth about its root.

    Time is cut into blocks. All blocks run at once, each from zero, keeping the products of their
    ``a``; a loop over blocks finds what enters each; one more operation adds it in. Nothing is
    divided and no logarithm is taken, so long sequences and zeros of ``a`` are safe
    (Blelloch, "Prefix sums and their applications", 1990; Martin and Cundy, 2018).

    Args:
        a: ``[B, T, S]``, T >= 1, real or complex.
        b: ``[B, T, S]``.
        start: ``[B, S]``, the state before the first step.
        reverse: run from the last step to the first: ``h_t = a_t h_{t+1} + b_t``.

    Returns:
        ``[B, T, S]``. Differentiable any number of times.

    Example:
        >>> a, b = torch.tensor([[[0.5], [2.0]]]), torch.tensor([[[1.0], [0.0]]])
        >>> linear_scan(a, b, torch.tensor([[4.0]])).flatten().tolist()
        [3.0, 6.0]
    """
    if many_at_once(b):
        return _one_by_one(a, b, start, reverse=reverse)
    h: Tensor = _Scan.apply(a, b, start, reverse)  # type: ignore[no-untyped-call]  # autograd's own
    return h


def masked_scan(
    a: Tensor, b: Tensor, start: Tensor, mask: Tensor | None, *, reverse: bool
) -> tuple[Tensor, Tensor]:
    """All states and the last of them; a masked step leaves the state as it was.

    Args:
        a: as for ``linear_scan``.
        b: as for it.
        start: as for it.
        mask: ``[B, T]`` bool, True = real, or None.
        reverse: as for it.
    """
    if mask is not None:
        real = mask.unsqueeze(-1)
        a, b = torch.where(real, a, 1.0), torch.where(real, b, 0.0)
    h = linear_scan(a, b, start, reverse=reverse)
    return h, h[:, 0 if reverse else -1]


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, start: Tensor, reverse: bool) -> Tensor:
        h = torch.empty(b.shape, dtype=b.dtype, device=b.device)
        _scan(a, b, start, h, reverse=reverse)
        ctx.save_for_backward(a, h, start)
        ctx.reverse = reverse
        return h

    @staticmethod
    def backward(ctx: Any, d_h: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """See ``adjoint``."""
        a, h, start = ctx.saved_tensors
        return (*adjoint(a, h, start, d_h, reverse=ctx.reverse), None)


def adjoint(
    a: Tensor, h: Tensor, start: Tensor, d_h: Tensor, *, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of a, b and start: a scan in the other direction of time.

    Args:
        a: as given to ``linear_scan``.
        h: what it returned.
        start: as given to it.
        d_h: the gradient of h.
        reverse: as given to it.
    """
    before, d_b = start.unsqueeze(1), d_h
    if reverse:
        if h.shape[1] > 1:
            rest = linear_scan(a[:, :-1].conj(), d_h[:, 1:], d_h[:, 0])
            d_b = torch.cat([d_h[:, :1], rest], 1)
        previous = torch.cat([h[:, 1:], before], 1)
        entering = d_b[:, -1] * a[:, -1].conj()
    else:
        if h.shape[1] > 1:
            rest = linear_scan(a[:, 1:].conj(), d_h[:, :-1], d_h[:, -1], reverse=True)
            d_b = torch.cat([rest, d_h[:, -1:]], 1)
        previous = torch.cat([before, h[:, :-1]], 1)
        entering = d_b[:, 0] * a[:, 0].conj()
    return d_b * previous.conj(), d_b, entering


def _scan(a: Tensor, b: Tensor, start: Tensor, h: Tensor, *, reverse: bool) -> None:
    """Fill ``h``; blocks of about the root of T, the remainder step by step."""
    steps = b.shape[1]
    length = max(1, round(steps**0.5)) if steps > SHORT else steps
    whole = steps // length if steps > SHORT else 0
    if not whole:
        _sequential(a, b, start, h, reverse=reverse)
        return
    cut = whole * length
    head, tail = (slice(steps - cut, steps), slice(0, steps - cut)) if reverse else (
        slice(0, cut), slice(cut, steps))  # fmt: skip
    shape = (b.shape[0], whole, length, b.shape[2])
    parts = [t[:, head].view(shape) for t in (a, b, h)]
    _blocks(parts[0], parts[1], start, parts[2], reverse=reverse)
    if steps > cut:
        last = h[:, steps - cut] if reverse else h[:, cut - 1]
        _sequential(a[:, tail], b[:, tail], last, h[:, tail], reverse=reverse)


def _sequential(a: Tensor, b: Tensor, start: Tensor, h: Tensor, *, reverse: bool) -> None:
    steps = range(b.shape[1])
    for t in reversed(steps) if reverse else steps:
        start = torch.addcmul(b[:, t], a[:, t], start)
        h[:, t] = start


def _one_by_one(a: Tensor, b: Tensor, start: Tensor, *, reverse: bool) -> Tensor:
    """Step by step, and nothing in place: of many at once only some may be batched."""
    found, steps = [], range(b.shape[1])
    for t in reversed(steps) if reverse else steps:
        start = torch.addcmul(b[:, t], a[:, t], start)
        found.append(start)
    return torch.stack(found[::-1] if reverse else found, 1)


def _blocks(a: Tensor, b: Tensor, start: Tensor, h: Tensor, *, reverse: bool) -> None:
    """The same for ``[B, blocks, length, S]``."""
    blocks, length = b.shape[1:3]
    times = list(reversed(range(length))) if reverse else list(range(length))
    product = torch.empty(b.shape, dtype=b.dtype, device=b.device)
    for index, t in enumerate(times):
        if index == 0:
            h[:, :, t], product[:, :, t] = b[:, :, t], a[:, :, t]
        else:
            last = times[index - 1]
            torch.addcmul(b[:, :, t], a[:, :, t], h[:, :, last], out=h[:, :, t])
            torch.mul(a[:, :, t], product[:, :, last], out=product[:, :, t])
    entering = torch.empty_like(h[:, :, 0])
    order = reversed(range(blocks)) if reverse else range(blocks)
    for block in order:
        entering[:, block] = start
        start = torch.addcmul(h[:, block, times[-1]], product[:, block, times[-1]], start)
    h.addcmul_(product, entering.unsqueeze(2))
