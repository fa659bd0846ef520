# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# ruff: noqa: ANN001, ANN201, ANN202, PLR0917
"""``h_t = a_t h_{t-1} + b_t`` in Triton: tiles of time by an associative scan, one after the other.

A program has some columns of one row and walks over its tiles; within a tile all steps are combined
at once, and the state that enters it is added in. Complex values lie as pairs of reals; of a real
value the second part stands for nothing. Masked steps, and those past an end, have a = 1 and b = 0.
Importing this needs Triton, which decides then to compile or to interpret (``TRITON_INTERPRET``).
"""

import triton
import triton.language as tl


@triton.jit
def _then(a, b, c, d):
    """``c (a h + b) + d``: one step after another."""
    return c * a, c * b + d


@triton.jit
def _then_complex(a, a_i, b, b_i, c, c_i, d, d_i):
    return (
        c * a - c_i * a_i,
        c * a_i + c_i * a,
        c * b - c_i * b_i + d,
        c * b_i + c_i * b + d_i,
    )


@triton.jit
def _times(a, a_i, b, b_i, COMPLEX: tl.constexpr):
    if COMPLEX:
        real, imaginary = a * b - a_i * b_i, a * b_i + a_i * b
    else:
        real, imaginary = a * b, a * b
    return real, imaginary


@triton.jit
def _load(base, place, there, other, COMPLEX: tl.constexpr, TYPE: tl.constexpr):
    if COMPLEX:
        real = tl.load(base + 2 * place, mask=there, other=other).to(TYPE)
        imaginary = tl.load(base + 2 * place + 1, mask=there, other=0.0).to(TYPE)
    else:
        real = tl.load(base + place, mask=there, other=other).to(TYPE)
        imaginary = real
    return real, imaginary


@triton.jit
def _store(base, place, there, real, imaginary, COMPLEX: tl.constexpr):
    if COMPLEX:
        tl.store(base + 2 * place, real, mask=there)
        tl.store(base + 2 * place + 1, imaginary, mask=there)
    else:
        tl.store(base + place, real, mask=there)


@triton.jit
def _scanned(a, a_i, b, b_i, h, h_i, COMPLEX: tl.constexpr):
    """All states of a tile, from its coefficients and the state that enters it."""
    if COMPLEX:
        p, p_i, found, found_i = tl.associative_scan((a, a_i, b, b_i), 0, _then_complex)
    else:
        p, found = tl.associative_scan((a, b), 0, _then)
        p_i, found_i = p, found
    more, more_i = _times(p, p_i, h[None, :], h_i[None, :], COMPLEX)
    return found + more, found_i + more_i


@triton.jit
def _last(tile, index, TILE_T: tl.constexpr):
    return tl.sum(tl.where((index == TILE_T - 1)[:, None], tile, 0.0), axis=0)


@triton.jit
def _real(mask, row, time, known, steps, MASKED: tl.constexpr):
    """Which of the known steps are not masked."""
    real = known
    if MASKED:
        real = known & (tl.load(mask + row * steps + time, mask=known, other=0) != 0)
    return real


@triton.jit
def forward(
    a, b, start, mask, h, last,
    steps, size, blocks, a_row, a_time, b_row, b_time,
    REVERSE: tl.constexpr, MASKED: tl.constexpr, COMPLEX: tl.constexpr, TYPE: tl.constexpr,
    TILE_T: tl.constexpr, TILE_S: tl.constexpr,
):  # fmt: skip
    """All states ``h [B, T, S]`` and the last ``[B, S]``; strides count values, not their parts."""
    row = (tl.program_id(0) // blocks).to(tl.int64)
    column = (tl.program_id(0) % blocks) * TILE_S + tl.arange(0, TILE_S)
    inside, index = column < size, tl.arange(0, TILE_T)
    state, state_i = _load(start, row * size + column, inside, 0.0, COMPLEX, TYPE)
    for first in range(0, steps, TILE_T):
        order = first + index
        time = steps - 1 - order if REVERSE else order
        known = order < steps
        there = _real(mask, row, time, known, steps, MASKED)[:, None] & inside[None, :]
        at_a = row * a_row + time[:, None] * a_time + column[None, :]
        at_b = row * b_row + time[:, None] * b_time + column[None, :]
        f, f_i = _load(a, at_a, there, 1.0, COMPLEX, TYPE)
        x, x_i = _load(b, at_b, there, 0.0, COMPLEX, TYPE)
        found, found_i = _scanned(f, f_i, x, x_i, state, state_i, COMPLEX)
        place = (row * steps + time[:, None]) * size + column[None, :]
        _store(h, place, known[:, None] & inside[None, :], found, found_i, COMPLEX)
        state, state_i = _last(found, index, TILE_T), _last(found_i, index, TILE_T)
    _store(last, row * size + column, inside, state, state_i, COMPLEX)


@triton.jit
def backward(
    a, start, mask, h, d_h, d_last, d_a, d_b, d_start,
    steps, size, blocks, a_row, a_time, d_row, d_time,
    REVERSE: tl.constexpr, MASKED: tl.constexpr, COMPLEX: tl.constexpr, TYPE: tl.constexpr,
    OF_ALL: tl.constexpr, OF_LAST: tl.constexpr, TILE_T: tl.constexpr, TILE_S: tl.constexpr,
):  # fmt: skip
    """Gradients of a, b and start: ``g_t = d_t + conj(a_{t+1}) g_{t+1}``, from the last step on.

    ``OF_ALL`` and ``OF_LAST``: whether there is a gradient of the states, and of the last alone.
    """
    row = (tl.program_id(0) // blocks).to(tl.int64)
    column = (tl.program_id(0) % blocks) * TILE_S + tl.arange(0, TILE_S)
    inside, index = column < size, tl.arange(0, TILE_T)
    at_row = row * size + column
    slope, slope_i = _load(d_last, at_row, inside & OF_LAST, 0.0, COMPLEX, TYPE)
    begun, begun_i = _load(start, at_row, inside, 0.0, COMPLEX, TYPE)
    for first in range(0, steps, TILE_T):
        order = steps - 1 - first - index
        time = steps - 1 - order if REVERSE else order
        toward = -1 if REVERSE else 1
        known = order >= 0
        followed = known & (order < steps - 1)
        after = _real(mask, row, time + toward, followed, steps, MASKED)[:, None] & inside[None, :]
        at_a = row * a_row + (time[:, None] + toward) * a_time + column[None, :]
        f, f_i = _load(a, at_a, after, 1.0, COMPLEX, TYPE)
        there = known[:, None] & inside[None, :]
        at_d = row * d_row + time[:, None] * d_time + column[None, :]
        g, g_i = _load(d_h, at_d, there & OF_ALL, 0.0, COMPLEX, TYPE)
        g, g_i = _scanned(f, -f_i, g, g_i, slope, slope_i, COMPLEX)
        slope, slope_i = _last(g, index, TILE_T), _last(g_i, index, TILE_T)

        earlier = (known & (order > 0))[:, None] & inside[None, :]
        at_h = (row * steps + time[:, None] - toward) * size + column[None, :]
        before, before_i = _load(h, at_h, earlier, 0.0, COMPLEX, TYPE)
        initial = (order == 0)[:, None]
        before = tl.where(initial, begun[None, :], before)
        before_i = tl.where(initial, begun_i[None, :], before_i)
        real = _real(mask, row, time, known, steps, MASKED)[:, None]
        g, g_i = tl.where(real, g, 0.0), tl.where(real, g_i, 0.0)
        place = (row * steps + time[:, None]) * size + column[None, :]
        _store(d_b, place, there, g, g_i, COMPLEX)
        of_a, of_a_i = _times(g, g_i, before, -before_i, COMPLEX)
        _store(d_a, place, there, of_a, of_a_i, COMPLEX)
    time = (tl.zeros([1], tl.int32) + steps - 1) if REVERSE else tl.zeros([1], tl.int32)
    real = _real(mask, row, time, time >= 0, steps, MASKED) & inside
    f, f_i = _load(a, row * a_row + time * a_time + column, real, 1.0, COMPLEX, TYPE)
    slope, slope_i = _times(slope, slope_i, f, -f_i, COMPLEX)
    _store(d_start, at_row, inside, slope, slope_i, COMPLEX)
