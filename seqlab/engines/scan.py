"""Runs linear recurrences for all times in parallel."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from seqlab.cells.base import Cell, HiddenState
from seqlab.cells.linear import LinearRecurrentCell
from seqlab.engines.base import Engine
from seqlab.types import State

#: Below this many steps the plain loop over ``h = a h + b`` is as fast.
SHORT = 16


class ScanEngine(Engine):
    """Runs ``LinearRecurrentCell``s by an associative scan over time."""

    name = "scan"

    def refusal(self, cell: Cell, x_BTD: Tensor, noise: Any) -> str | None:
        """Not a linear recurrence, or one with a step or noise of its own."""
        del x_BTD
        if not isinstance(cell, LinearRecurrentCell):
            return f"{type(cell).__name__} is not a LinearRecurrentCell"
        if type(cell).step is not LinearRecurrentCell.step:
            return f"{type(cell).__name__} has its own step"
        return None if noise is None else f"{type(cell).__name__} draws noise for each step"

    def run(
        self,
        cell: Cell,
        x_BTD: Tensor,
        state: State,
        mask: Tensor | None,
        *,
        reverse: bool,
        noise: Any,
    ) -> tuple[Tensor, State]:
        """All steps; see ``Engine.run``."""
        del noise
        linear = cast("LinearRecurrentCell", cell)
        x, a, b = linear.project(x_BTD)
        start = linear.unpack(state[0])
        if mask is not None:
            real = mask.unsqueeze(-1)
            a, b = torch.where(real, a, 1.0), torch.where(real, b, 0.0)
        dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), start.dtype)
        h = linear_scan(a.to(dtype), b.to(dtype), start.to(dtype), reverse=reverse)
        output = linear.readout(x, h)
        if mask is not None:
            output = output.masked_fill(~mask.unsqueeze(-1), 0.0)
        return output, HiddenState(linear.pack(h[:, 0 if reverse else -1]))


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
    h: Tensor = _Scan.apply(a, b, start, reverse)  # type: ignore[no-untyped-call]  # autograd's own
    return h


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
        """The adjoint is a scan in the other direction of time."""
        a, h, start = ctx.saved_tensors
        before, d_b, entering = start.unsqueeze(1), d_h, d_h
        if ctx.reverse:
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
        return d_b * previous.conj(), d_b, entering, None


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
