"""Matrix products of float32 on a CPU, by the faster of the libraries that torch is built with.

Torch multiplies by Intel's MKL, which takes twice oneDNN's time on processors of AMD (measured on
Zen 5, of matrices as they lie: 100 to 113 against 230 to 250 GFLOP/s a core).
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

#: Floating-point operations of a product that is worth the 10 us which a call of oneDNN costs more.
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
        again = torch.is_grad_enabled()  # they are to be differentiated, which oneDNN's are not
        if of_x:
            d_x = d_flat @ weight if again else _onednn(d_flat, weight.T)
            d_x = d_x.view(x.shape)
        if of_weight:
            d_weight = d_flat.T @ flat
        if of_bias:
            d_bias = d_flat.sum(0)
        return d_x, d_weight, d_bias


def _by_onednn(x: Tensor, columns: int) -> bool:
    return (
        x.dtype is torch.float32
        and 2 * math.prod(x.shape) * columns >= LEAST_WORK
        and x.device.type == "cpu"
        and _prefers_onednn()
        and _enabled()
    )


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    # for matrices that lie otherwise it has, at some sizes, only a reference that takes minutes
    x, weight = x.contiguous(), weight.contiguous()
    made: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # noqa: SLF001  # no other
    return made


def _enabled() -> bool:
    """Whether the user lets torch use oneDNN (``torch.backends.mkldnn.flags``)."""
    return bool(torch.backends.mkldnn.enabled)


@functools.cache
def _prefers_onednn() -> bool:
    """Whether torch would multiply by MKL on a processor that MKL is slow on, and has oneDNN."""
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):  # type: ignore[no-untyped-call]  # torch's own
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    try:
        processor = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return False
    return any(maker in processor for maker in _SLOW_WITH_MKL)
