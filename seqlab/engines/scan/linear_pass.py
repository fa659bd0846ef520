"""``h_t = a_t h_{t-1} + b_t`` as one C++ pass over time, forward and backward, on a CPU."""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from seqlab.engines.cpp_compiler import CompilerError, load_library
from seqlab.engines.scan.pass_function import Gradients, PassFunction, resolved

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

    Args:
        a: ``[B, T, S]``, T >= 1; it may be expanded over rows or time.
        b: ``[B, T, S]``, of the same type.
        start: ``[B, S]``, the state before the first step.
        mask: ``[B, T]`` bool, True = real, or None. A masked step leaves the state as it was.
        reverse: run from the last step to the first.
    """
    return PassFunction.run(CompiledPass(), a, b, start, mask, reverse=reverse)


class CompiledPass:
    """The compiled functions; see ``pass_function.Pass``."""

    def forward(
        self, a: Tensor, b: Tensor, start: Tensor, mask: Tensor | None, *, reverse: bool
    ) -> tuple[Tensor, Tensor]:
        """See ``Pass.forward``."""
        factors, added, before = resolved(a), resolved(b), resolved(start).contiguous()
        h, last = (b.new_empty(t.shape) for t in (b, start))
        mask = None if mask is None else mask.contiguous()
        run = _described(factors, before, mask, reverse=reverse)
        run.b, run.b_b, run.b_t = added.data_ptr(), added.stride(0), added.stride(1)
        run.h, run.last = h.data_ptr(), last.data_ptr()
        _call("forward", run, b.dtype)
        return h, last

    def backward(
        self, a: Tensor, h: Tensor, start: Tensor, mask: Tensor | None, *,
        d_h: Tensor | None, d_last: Tensor | None, reverse: bool,
    ) -> Gradients:  # fmt: skip
        """See ``Pass.backward``."""
        factors, before = resolved(a), resolved(start).contiguous()
        mask = None if mask is None else mask.contiguous()
        d_a, d_b, d_start = (h.new_empty(t.shape) for t in (h, h, start))
        run = _described(factors, before, mask, reverse=reverse)
        run.h, run.d_a, run.d_input, run.d_start = (
            t.data_ptr() for t in (h, d_a, d_b, d_start)
        )  # fmt: skip
        if d_h is not None:
            d_h = resolved(d_h)
            run.d_h, run.d_b, run.d_t = d_h.data_ptr(), d_h.stride(0), d_h.stride(1)
        if d_last is not None:
            d_last = resolved(d_last).contiguous()
            run.d_last = d_last.data_ptr()
        _call("backward", run, h.dtype)
        return d_a, d_b, d_start


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
