"""The text of Triton kernels: their heads, tiles of memory, and the loop over time.

In a kernel ``rows`` and ``units`` are those of the program, ``here`` tells which exist, ``unit`` is
their place in one time's ``[B, H]``, and ``slot`` the distance of two times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

#: What the code depends on beside the equations.
CONSTANTS = (
    "REVERSE", "MASKED", "DROPS", "BIASED", "SAVED", "GRADED", "FINALS", "ROWS", "UNITS", "DEPTH",
    "RESIDENT", "LOCAL", "GRID", "PRECISION", "REAL",
)  # fmt: skip
#: Arguments, without their number, that change from call to call and must not give new code.
_CHANGING = frozenset({"steps", "batch", "first", "x_t", "x_b", "mask_t", "mask_b", "d_t", "d_b",
                       "t", "kept_t", "old", "new"})  # fmt: skip
#: Those of them that lie between two times.
_DISTANCES = frozenset({"x_t", "mask_t", "d_t"})
HEADER = '''"""Kernels of one cell, written by seqlab from its equations."""

import triton
import triton.language as tl
from seqlab.engines.triton.maths import (
    meet, product, v_atan, v_expm1, v_log1p, v_pow, v_sigmoid, v_tanh,
)
'''
#: Where a program is, whose rows are those of its ``group``.
TILE = """
units = tl.program_id(0) * UNITS + tl.arange(0, UNITS)
rows = group.to(tl.int64) * ROWS + tl.arange(0, ROWS)
in_units, in_rows = units < hidden, rows < batch
here = in_rows[:, None] & in_units[None, :]
unit = rows[:, None] * hidden + units[None, :]
slot = tl.full([], hidden, tl.int64) * batch
""".strip().splitlines()
_PLACE = ["group = first + tl.program_id(1)", *TILE, "met = 0"]
ZEROS = "tl.zeros([ROWS, UNITS], REAL)"
REAL_ROWS = [
    "real = in_rows[:, None]",
    "if MASKED:",
    "    is_real = tl.load(mask + t * mask_t + rows * mask_b, mask=in_rows, other=0)",
    "    real = is_real[:, None] != 0",
]


def function(
    name: str, arguments: Sequence[str], setup: list[str], step: list[str], last: list[str]
) -> str:
    """A kernel of all steps: what is done before the loop over ``step``, in it, and after it."""
    body = [*_PLACE, *setup, "for step in range(steps):", *indented(step), *last]
    return kernel(name, arguments, CONSTANTS, body)


def kernel(
    name: str, arguments: Sequence[str], constants: Sequence[str], body: Sequence[str]
) -> str:
    """A kernel; ``constants`` are further arguments, each of whose values gives other code.

    Distances of two times are of 64 bits, for a time's place may be beyond 32.
    """
    changing = (a for a in arguments if a.rstrip("0123456789") in _CHANGING)
    quoted = ", ".join(f'"{a}"' for a in changing)
    fixed = ", ".join(f"{constant}: tl.constexpr" for constant in constants)
    return "\n".join([
        f"@triton.jit(do_not_specialize=[{quoted}])",
        f"def {name}({', '.join(arguments)}, {fixed}):",
        *indented(f"{a} = {a}.to(tl.int64)" for a in arguments if a in _DISTANCES),
        *indented(body), "",
    ])  # fmt: skip


def indented(lines: Iterable[str]) -> list[str]:
    """The lines of a block."""
    return [f"    {line}" for line in lines]


def when(condition: str, then: list[str], otherwise: Sequence[str] = ()) -> list[str]:
    """An ``if``."""
    rest = ["else:", *indented(otherwise)] if otherwise else []
    return [f"if {condition}:", *indented(then), *rest]


def numbered(name: str, count: int) -> list[str]:
    """``name0``, ``name1``, ..."""
    return [f"{name}{index}" for index in range(count)]


def load(where: str, condition: str = "here") -> str:
    """A tile of the program's rows and units, zero where there is nothing."""
    return f"tl.load({where}, mask={condition}, other=0.0)"


def store(where: str, value: str) -> str:
    """The way back; what has one row or one unit is spread."""
    return f"tl.store({where}, tl.broadcast_to({value}, [ROWS, UNITS]), mask=here)"


def of_real_rows(value: str) -> str:
    """A value, zero at masked steps and past the end, where it may be no number."""
    return f"tl.where(here & real, {value}, {ZEROS})"


def gates_at(time: str, gates: int, units: str) -> str:
    """The place of a time's units in ``[T, B, G*H]``, without that of the gate."""
    return f"({time} * batch + rows)[:, None] * ({gates} * hidden) + ({units})[None, :]"


def meet(again: bool) -> list[str]:
    """Let the programs of these rows read what they stored; ``again``: unless this was the last."""
    lines = ["met += 1", "meet(counter + group, met * tl.num_programs(0), GRID)"]
    return when("not LOCAL", when("step + 1 < steps", lines) if again else lines)
