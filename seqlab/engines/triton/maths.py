# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# ruff: noqa: ANN001, ANN201, D103, RET505  # Triton's language has types of its own
"""What Triton kernels of cells are written with: functions of numbers, products, meeting points.

Triton's interpreter, which runs kernels on a CPU, has no libdevice; there formulas stand in.
"""

import triton
import triton.language as tl
from triton.language.extra import libdevice

INTERPRETED = triton.knobs.runtime.interpret

if INTERPRETED:

    @triton.jit
    def v_tanh(x):
        e = tl.exp(-2.0 * tl.abs(x))
        return tl.where(x < 0, -(1 - e) / (1 + e), (1 - e) / (1 + e))

    @triton.jit
    def v_expm1(x):
        u = tl.exp(x)
        simple = (u == 1) | (u - 1 == -1)
        near = (u - 1) * x / tl.log(tl.where(simple, 2.0, u))
        return tl.where(u == 1, x, tl.where(simple, u - 1, near))

    @triton.jit
    def v_log1p(x):
        u = 1 + x
        return tl.where(u == 1, x, tl.log(u) * (x / tl.where(u == 1, 1.0, u - 1)))

    @triton.jit
    def v_pow(x, y):
        size = tl.exp(y * tl.log(tl.abs(x)))
        half = 0.5 * y
        signed = tl.where(half == tl.floor(half), size, -size)
        return tl.where(x < 0, tl.where(y == tl.floor(y), signed, float("nan")), size)

    @triton.jit
    def v_atan(x):
        # halved twice, then its series
        y = x / (1 + tl.sqrt(1 + x * x))
        y = y / (1 + tl.sqrt(1 + y * y))
        y = y / (1 + tl.sqrt(1 + y * y))
        s = y * y
        total = tl.zeros_like(y)
        for k in tl.static_range(20):
            total = total * s + (1.0 if (19 - k) % 2 == 0 else -1.0) / (2 * (19 - k) + 1)
        return 8 * y * total

else:
    v_tanh, v_expm1, v_log1p = libdevice.tanh, libdevice.expm1, libdevice.log1p
    v_pow, v_atan = libdevice.pow, libdevice.atan


@triton.jit
def v_sigmoid(x):
    return 1 / (1 + tl.exp(-x))


@triton.jit
def product(a, b, PRECISION: tl.constexpr):
    """``a b``; ``sum`` adds up products, for types that tensor cores do not know."""
    if PRECISION == "sum":
        return tl.sum(a[:, :, None] * b[None, :, :], 1)
    elif PRECISION == "bf16":
        return tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16))
    elif PRECISION == "fp16":
        return tl.dot(a.to(tl.float16), b.to(tl.float16))
    else:
        return tl.dot(a, b, input_precision=PRECISION, out_dtype=a.dtype)


@triton.jit
def meet(counter, target, GRID: tl.constexpr):
    """Wait until what all programs of these rows have stored can be read by all.

    Args:
        counter: how often they have come here, of these rows alone.
        target: how often they will have when the last one is here.
        GRID: whether there are several programs.
    """
    tl.debug_barrier()
    if GRID:
        come = tl.atomic_add(counter, 1, sem="acq_rel") + 1
        while come < target:
            come = tl.atomic_add(counter, 0, sem="acquire")
        tl.debug_barrier()
