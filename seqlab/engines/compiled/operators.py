"""How C++ writes the operators of traced equations."""

from __future__ import annotations

import math
from collections.abc import Sequence

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "gt": ">", "ge": ">=", "lt": "<",
          "le": "<=", "eq": "==", "ne": "!=", "and": "&", "or": "|"}  # fmt: skip


def in_cpp(op: str, args: Sequence[str]) -> str:
    """An operator's value in C++, from the names of its arguments."""
    if op in _INFIX:
        return f"{args[0]} {_INFIX[op]} {args[1]}"
    if op == "neg":
        return f"-{args[0]}"
    if op == "not":
        return f"~{args[0]}"
    if op == "where":
        return f"choose({', '.join(args)})"
    if op == "real":
        return f"choose({args[0]}, all(1), all(0))"
    return f"v_{op}({', '.join(args)})"


def literal(value: float) -> str:
    """A number as C++ writes it."""
    if math.isinf(value):
        sign = "-" if value < 0 else ""
        return f"{sign}std::numeric_limits<real>::infinity()"
    return "std::numeric_limits<real>::quiet_NaN()" if math.isnan(value) else f"real({value!r})"
