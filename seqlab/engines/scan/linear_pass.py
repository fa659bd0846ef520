"""``h_t = a_t h_{t-1} + b_t`` as one C++ pass over time, forward and backward, on a CPU."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqlab.engines.cpp_compiler import CompilerError, load_library
from seqlab.engines.scan.linear_scan import adjoint

HEADERS = Path(__file__).parent / "cpp"
#: Value types, with the C++ type of their parts and the ending of the functions' names.
_KINDS = {
    torch.float32: ("float", "real"),
    torch.float64: ("double", "real"),
    torch.complex64: ("float", "complex"),
    torch.complex128: ("double", "complex"),
}
#: Numbers in a call below which a second thread costs more than it gives.
_ENOUGH = 1 << 16


class Arguments(ctypes.Structure):
    """Mirrors ``Arguments`` of ``cpp/scan.h``; pointers are 0 where there is nothing."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("steps", "batch", "size", "reverse", "threads")),
        *((name, ctypes.c_void_p) for name in ("a", "b", "start")),
        *((name, ctypes.c_int64) for name in ("a_b", "a_t", "b_b", "b_t")),
        *((name, ctypes.c_void_p) for name in ("mask", "h", "last", "d_h", "d_last")),
        *((name, ctypes.c_int64) for name in ("d_b", "d_t")),
        *((name, ctypes.c_void_p) for name in ("d_a", "d_input", "d_start")),
    ]


def runs_here(like: Tensor, dtype: torch.dtype) -> bool:
    """Whether values of this type can be run by compiled code where ``like`` lies."""
    if like.device.type != "cpu" or dtype not in _KINDS:
        return False
    try:
        _library(dtype)
    except CompilerError:
        return False
    return True


def linear_pass(
    a: Tensor, b: Tensor, start: Tensor, mask: Tensor | None, *, reverse: bool
) -> tuple[Tensor, Tensor]:
    """All states and the last of them; ``masked_scan`` is the plain reference.

    Gradients of gradients are those of ``linear_scan``.

    Args:
        a: ``[B, T, S]``, T >= 1; it may be expanded over rows or time.
        b: ``[B, T, S]``, of the same type.
        start: ``[B, S]``, the state before the first step.
        mask: ``[B, T]`` bool, True = real, or None. A masked step leaves the state as it was.
        reverse: run from the last step to the first.
    """
    h, last = _Pass.apply(a, b, start, mask, reverse)  # type: ignore[no-untyped-call]  # autograd's own
    return h, last


def _library(dtype: torch.dtype) -> ctypes.CDLL:
    return load_library('#include "scan.h"\n', _KINDS[dtype][0], HEADERS)


def _call(direction: str, run: Arguments, dtype: torch.dtype) -> None:
    getattr(_library(dtype), f"{direction}_{_KINDS[dtype][1]}")(ctypes.byref(run))


def _described(a: Tensor, start: Tensor, mask: Tensor | None, *, reverse: bool) -> Arguments:
    """What forward and backward have in common; the caller keeps the tensors alive."""
    run = Arguments()
    run.batch, run.steps, run.size = a.shape
    run.reverse = reverse
    run.threads = torch.get_num_threads() if a.numel() >= _ENOUGH else 1
    run.a, run.a_b, run.a_t = a.data_ptr(), a.stride(0), a.stride(1)
    run.start = start.data_ptr()
    run.mask = None if mask is None else mask.data_ptr()
    return run


def _rows(tensor: Tensor) -> Tensor:
    """The tensor, its last dimension contiguous and no lazy conjugate."""
    tensor = tensor.resolve_conj().resolve_neg()
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


class _Pass(torch.autograd.Function):
    """The pass as one differentiable operation."""

    @staticmethod
    def forward(  # noqa: PLR0917  # autograd passes them by place
        ctx: Any, a: Tensor, b: Tensor, start: Tensor, mask: Tensor | None, reverse: bool
    ) -> tuple[Tensor, Tensor]:
        factors, added, before = _rows(a), _rows(b), _rows(start).contiguous()
        h, last = torch.empty(b.shape, dtype=b.dtype), torch.empty(start.shape, dtype=b.dtype)
        mask = None if mask is None else mask.contiguous()
        run = _described(factors, before, mask, reverse=reverse)
        run.b, run.b_b, run.b_t = added.data_ptr(), added.stride(0), added.stride(1)
        run.h, run.last = h.data_ptr(), last.data_ptr()
        _call("forward", run, b.dtype)
        ctx.save_for_backward(a, start, mask, h)
        ctx.reverse = reverse
        ctx.set_materialize_grads(False)
        return h, last

    @staticmethod
    def backward(
        ctx: Any, d_h: Tensor | None, d_last: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        a, start, mask, h = ctx.saved_tensors
        if torch.is_grad_enabled():
            d_h = _joined(h, d_h, d_last, reverse=ctx.reverse)
            return (*_masked_adjoint(a, h, start, d_h, mask, reverse=ctx.reverse), None, None)
        factors, before = _rows(a), _rows(start).contiguous()
        d_a, d_b, d_start = (torch.empty(t.shape, dtype=h.dtype) for t in (h, h, start))
        run = _described(factors, before, mask, reverse=ctx.reverse)
        run.h, run.d_a, run.d_input, run.d_start = (
            t.data_ptr() for t in (h, d_a, d_b, d_start)
        )  # fmt: skip
        if d_h is not None:
            d_h = _rows(d_h)
            run.d_h, run.d_b, run.d_t = d_h.data_ptr(), d_h.stride(0), d_h.stride(1)
        if d_last is not None:
            d_last = _rows(d_last).contiguous()
            run.d_last = d_last.data_ptr()
        _call("backward", run, h.dtype)
        return (d_a, d_b, d_start, None, None)


def _joined(h: Tensor, d_h: Tensor | None, d_last: Tensor | None, *, reverse: bool) -> Tensor:
    """One gradient of all states: the last one is the state of the step that ran last."""
    d_h = torch.zeros_like(h) if d_h is None else d_h
    if d_last is None:
        return d_h
    end = [0, h.shape[1] - 1] if reverse else [h.shape[1] - 1, 0]
    return d_h + torch.nn.functional.pad(d_last.unsqueeze(1), (0, 0, *reversed(end)))


def _masked_adjoint(
    a: Tensor, h: Tensor, start: Tensor, d_h: Tensor, mask: Tensor | None, *, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients in operations that can be differentiated again."""
    if mask is None:
        return adjoint(a, h, start, d_h, reverse=reverse)
    real = mask.unsqueeze(-1)
    d_a, d_b, d_start = adjoint(torch.where(real, a, 1.0), h, start, d_h, reverse=reverse)
    return d_a * real, d_b * real, d_start
