# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# ruff: noqa: ANN001, ANN201, ANN202, PLR0917
"""Triton kernels of what stands around a step's equations, the same for all cells.

Layer normalisation (Ba et al., 2016) of a recurrent product, over all of its gates, and the mixing
of a state that ``proj_size`` narrows with the one before it. Importing this needs Triton.
"""

import triton
import triton.language as tl

_TIMES = ["t", "old", "new", "mask_t", "mask_b", "d_t", "d_b", "batch", "first", "product"]


@triton.jit(do_not_specialize=_TIMES)
def normalise(
    gates, gain, bias, unit, scale, t, batch, first, count, width, product, products,
    BIASED: tl.constexpr, SAVED: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
    REAL: tl.constexpr,
):  # fmt: skip
    """``gates [B, count]`` become normalised; their columns are those from ``first`` of ``width``.

    ``unit [T, B, width]`` keeps the values before gain and bias, ``scale [T, B, products]`` what
    their deviations were multiplied by.
    """
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    in_rows, some = rows < batch, tl.arange(0, BLOCK)
    size = tl.full([1], count, tl.int32).to(REAL)
    total = tl.zeros([ROWS], REAL)
    for start in range(0, count, BLOCK):
        here = in_rows[:, None] & (start + some < count)[None, :]
        place = gates + rows[:, None] * count + (start + some)[None, :]
        total += tl.sum(tl.load(place, mask=here, other=0.0), 1)
    mean = (total / size)[:, None]
    total = tl.zeros([ROWS], REAL)
    for start in range(0, count, BLOCK):
        here = in_rows[:, None] & (start + some < count)[None, :]
        place = gates + rows[:, None] * count + (start + some)[None, :]
        off = tl.where(here, tl.load(place, mask=here, other=0.0) - mean, 0.0)
        total += tl.sum(off * off, 1)
    factor = 1 / tl.sqrt(total / size + tl.full([1], 1e-5, REAL))  # as in torch
    if SAVED:
        tl.store(scale + (t * batch + rows) * products + product, factor, mask=in_rows)
    for start in range(0, count, BLOCK):
        columns = start + some
        inside = columns < count
        here = in_rows[:, None] & inside[None, :]
        place = gates + rows[:, None] * count + columns[None, :]
        value = (tl.load(place, mask=here, other=0.0) - mean) * factor[:, None]
        if SAVED:
            kept = (t * batch + rows)[:, None] * width + (first + columns)[None, :]
            tl.store(unit + kept, value, mask=here)
        value *= tl.load(gain + first + columns, mask=inside, other=0.0)[None, :]
        if BIASED:
            value += tl.load(bias + first + columns, mask=inside, other=0.0)[None, :]
        tl.store(place, value, mask=here)


@triton.jit(do_not_specialize=_TIMES)
def normalise_backward(
    d_gates, gain, unit, scale, d_gain, d_bias, t, batch, first, count, width, product, products,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """``d_gates [T, B, width]`` become those of the product; the gain's and the bias's add up.

    ``d_gain`` and ``d_bias`` are ``[programs, width]``.
    """
    program = tl.program_id(0).to(tl.int64)
    rows = program * ROWS + tl.arange(0, ROWS)
    in_rows, some = rows < batch, tl.arange(0, BLOCK)
    size = tl.full([1], count, tl.int32).to(REAL)
    mean, along = tl.zeros([ROWS], REAL), tl.zeros([ROWS], REAL)
    for start in range(0, count, BLOCK):
        columns = start + some
        inside = columns < count
        here = in_rows[:, None] & inside[None, :]
        place = (t * batch + rows)[:, None] * width + (first + columns)[None, :]
        d = tl.load(d_gates + place, mask=here, other=0.0)
        value = tl.load(unit + place, mask=here, other=0.0)
        sums = program * width + first + columns
        before = tl.load(d_gain + sums, mask=inside, other=0.0)
        tl.store(d_gain + sums, before + tl.sum(d * value, 0), mask=inside)
        before = tl.load(d_bias + sums, mask=inside, other=0.0)
        tl.store(d_bias + sums, before + tl.sum(d, 0), mask=inside)
        d *= tl.load(gain + first + columns, mask=inside, other=0.0)[None, :]
        mean += tl.sum(d, 1)
        along += tl.sum(d * value, 1)
    mean, along = (mean / size)[:, None], (along / size)[:, None]
    factor = tl.load(scale + (t * batch + rows) * products + product, mask=in_rows, other=0.0)
    for start in range(0, count, BLOCK):
        columns = start + some
        inside = columns < count
        here = in_rows[:, None] & inside[None, :]
        place = (t * batch + rows)[:, None] * width + (first + columns)[None, :]
        d = tl.load(d_gates + place, mask=here, other=0.0)
        value = tl.load(unit + place, mask=here, other=0.0)
        d *= tl.load(gain + first + columns, mask=inside, other=0.0)[None, :]
        tl.store(d_gates + place, factor[:, None] * (d - mean - value * along), mask=here)


@triton.jit
def _real(mask, t, mask_t, mask_b, rows, in_rows, MASKED: tl.constexpr):
    real = in_rows
    if MASKED:
        real = tl.load(mask + t * mask_t.to(tl.int64) + rows * mask_b, mask=in_rows, other=0) != 0
    return real[:, None]


@triton.jit
def _tile(batch, width, ROWS: tl.constexpr, UNITS: tl.constexpr):
    """A program's rows and units, the size of a step, which units are real, and their places."""
    units = tl.program_id(0) * UNITS + tl.arange(0, UNITS)
    rows = tl.program_id(1).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    here = (rows < batch)[:, None] & (units < width)[None, :]
    unit = rows[:, None] * width + units[None, :]
    return rows, units, tl.full([], width, tl.int64) * batch, here, unit


@triton.jit
def _new_share(zone, place, here, ZONED: tl.constexpr, RATE: tl.constexpr, REAL: tl.constexpr):
    """Which part of the new state is taken, by zoneout's mask or its expectation."""
    share = 1 - tl.full([1, 1], RATE, REAL)
    if ZONED:
        share = (tl.load(zone + place, mask=here, other=0.0) > 0).to(REAL)
    return share


@triton.jit(do_not_specialize=_TIMES)
def narrowed(
    made, history, out, zone, mask, mask_t, mask_b, t, old, new, batch, width,
    MASKED: tl.constexpr, ZONED: tl.constexpr, RATE: tl.constexpr, GRADED: tl.constexpr,
    ROWS: tl.constexpr, UNITS: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """The next state, and the output, from what ``proj_size``'s matrix made: ``[B, width]``."""
    rows, _units, slot, here, unit = _tile(batch, width, ROWS, UNITS)
    real = _real(mask, t, mask_t, mask_b, rows, rows < batch, MASKED)
    value = tl.load(made + unit, mask=here, other=0.0)
    before = tl.load(history + old * slot + unit, mask=here, other=0.0)
    share = _new_share(zone, t * slot + unit, here, ZONED, RATE, REAL)
    # where all or nothing is taken, the other part may be anything
    mixed = tl.where(share == 1, value, before + share * (value - before))
    mixed = tl.where(share == 0, before, mixed)
    tl.store(history + new * slot + unit, tl.where(real, mixed, before), mask=here)
    if GRADED:
        tl.store(out + t * slot + unit, tl.where(real, mixed, 0.0), mask=here)


@triton.jit(do_not_specialize=_TIMES)
def narrowed_backward(
    d_state, d_out, d_t, d_b, d_made, zone, mask, mask_t, mask_b, t, batch, width,
    MASKED: tl.constexpr, ZONED: tl.constexpr, RATE: tl.constexpr, GRADED: tl.constexpr,
    ROWS: tl.constexpr, UNITS: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """``d_made [T, B, width]`` takes the new part's gradient, ``d_state`` keeps the old part's."""
    rows, units, slot, here, unit = _tile(batch, width, ROWS, UNITS)
    real = _real(mask, t, mask_t, mask_b, rows, rows < batch, MASKED)
    after = tl.load(d_state + unit, mask=here, other=0.0)
    d = after
    if GRADED:
        shown = d_out + t * d_t.to(tl.int64) + rows[:, None] * d_b + units[None, :]
        d += tl.load(shown, mask=here, other=0.0).to(REAL)
    share = _new_share(zone, t * slot + unit, here, ZONED, RATE, REAL)
    tl.store(d_made + t * slot + unit, tl.where(real, share * d, 0.0), mask=here)
    tl.store(d_state + unit, tl.where(real, (1 - share) * d, after), mask=here)
