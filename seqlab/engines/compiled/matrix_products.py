"""Matrix products of float32 on a CPU that Intel's MKL is slow on: those of AMD.

Torch multiplies by MKL. Of matrices as they lie oneDNN takes half its time on Zen 5 (230 to 250
against 100 to 113 GFLOP/s a core) and four fifths on Zen 4 (100 against 85). For a transposed
factor, which the gradients of weights have, oneDNN has at some sizes a reference that takes
minutes, so these products are code of our own: ``cpp/transposed.h``, 90 to 98 GFLOP/s on Zen 4,
where MKL has 75 to 92.
"""

from __future__ import annotations

import ctypes
import functools
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlab.engines.compiled.cell_code import HEADERS
from seqlab.engines.cpp_compiler import CompilerError, load_library
from seqlab.engines.double_backward import by_operations

#: Floating-point operations of a product that is worth the 10 us which such a call costs more.
LEAST_WORK = 1 << 23
_SLOW_WITH_MKL = ("AuthenticAMD", "HygonGenuine")


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``F.linear``, with gradients of any order.

    >>> x, weight = torch.ones(2, 3), torch.tensor([[1.0, 2.0, 3.0]])
    >>> linear(x, weight, None).tolist()
    [[6.0], [6.0]]
    """
    if not _by_onednn(x, weight.shape[0]):
        return F.linear(x, weight, bias)
    found: Tensor = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]  # autograd's own
    return found


def transposed(left: Tensor, right: Tensor) -> Tensor:
    """``left.T @ right`` of matrices ``[N, R]`` and ``[N, P]``; no gradients come back through it.

    >>> transposed(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 5.0]])).tolist()
    [[3.0, 5.0], [6.0, 10.0]]
    """
    count, rows = left.shape
    columns = right.shape[1]
    library = _library() if _slow_with_mkl(left, columns) and right.dtype is left.dtype else None
    if library is None or not count:
        return left.T @ right
    left, right = (t if t.stride(1) == 1 else t.contiguous() for t in (left, right))
    result = left.new_empty(rows, columns)
    places = left.data_ptr(), left.stride(0), right.data_ptr(), right.stride(0), result.data_ptr()
    library.transposed(count, rows, columns, *places, torch.get_num_threads())
    return result


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        flat = x.reshape(-1, x.shape[-1])
        return _onednn(flat, weight, bias).view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        d_x = d_weight = d_bias = None
        d_flat, flat = d.reshape(-1, d.shape[-1]), x.reshape(-1, x.shape[-1])
        again = by_operations(d)  # which oneDNN's products are not
        if of_x:
            d_x = d_flat @ weight if again else _onednn(d_flat, weight.T)
            d_x = d_x.view(x.shape)
        if of_weight:
            d_weight = d_flat.T @ flat if again else transposed(d_flat, flat)
        if of_bias:
            d_bias = d_flat.sum(0)
        return d_x, d_weight, d_bias


def _slow_with_mkl(x: Tensor, columns: int) -> bool:
    """Whether a product of these rows with so many columns is worth another way."""
    return (
        x.dtype is torch.float32
        and 2 * math.prod(x.shape) * columns >= LEAST_WORK
        and x.device.type == "cpu"
        and _is_slow_with_mkl()
    )


def _by_onednn(x: Tensor, columns: int) -> bool:
    return _slow_with_mkl(x, columns) and _has_onednn() and _enabled()


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    # for matrices that lie otherwise it has, at some sizes, only a reference that takes minutes
    x, weight = x.contiguous(), weight.contiguous()
    made: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # noqa: SLF001  # no other
    return made


def _enabled() -> bool:
    """Whether the user lets torch use oneDNN (``torch.backends.mkldnn.flags``)."""
    return bool(torch.backends.mkldnn.enabled)


@functools.cache
def _has_onednn() -> bool:
    built = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch's own
    return built and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The code for ``transposed``, compiled where it is not in the cache yet."""
    try:
        library = load_library('#include "transposed.h"\n', "float", HEADERS)
    except CompilerError:
        return None
    number, place = ctypes.c_int64, ctypes.c_void_p
    library.transposed.argtypes = [
        number, number, number, place, number, place, number, place, number,
    ]  # fmt: skip
    library.transposed.restype = None
    return library


@functools.cache
def _is_slow_with_mkl() -> bool:
    """Whether torch multiplies by MKL, on a processor that MKL is slow on."""
    if not torch.backends.mkl.is_available():  # type: ignore[no-untyped-call]  # torch's own
        return False
    try:
        processor = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return False
    return any(maker in processor for maker in _SLOW_WITH_MKL)
