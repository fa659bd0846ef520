"""The operators of compiled expressions: what numbers make of them, and how C++ writes them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from seqlab.expressions import Graph, Node

#: Operators so cheap that computing them again costs less than keeping their value.
CHEAP = frozenset({
    "number", "add", "sub", "mul", "neg", "max", "min", "abs", "sign", "where",
    "gt", "ge", "lt", "le", "eq", "ne", "and", "or", "not", "real",
})  # fmt: skip
#: Operators whose value is a truth value.
LOGICAL = frozenset({"gt", "ge", "lt", "le", "eq", "ne", "and", "or", "not"})

_FOLD: dict[str, Callable[[float, float], float]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul,
}  # fmt: skip
_NEUTRAL = {"add": 0.0, "sub": 0.0, "mul": 1.0, "div": 1.0}
_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "gt": ">", "ge": ">=", "lt": "<",
          "le": "<=", "eq": "==", "ne": "!=", "and": "&", "or": "|"}  # fmt: skip


class FoldedGraph(Graph):
    """Works out what numbers and zeros make trivial, which gradients are full of.

    >>> graph = FoldedGraph()
    >>> graph.make("mul", graph.number(2), graph.number(3)).number
    6.0
    """

    def make(self, op: str, *args: Node, value: Any = None) -> Node:
        """The simplest expression that has this value."""
        first, second = ([arg.number for arg in args] + [None, None])[:2]
        if op in _FOLD and first is not None and second is not None:
            return self.number(_FOLD[op](first, second))
        if op == "neg" and first is not None:
            return self.number(-first)
        neutral = _NEUTRAL.get(op)
        if neutral is not None and second == neutral:
            return args[0]
        if op in {"add", "mul"} and first == neutral:
            return args[1]
        return super().make(op, *args, value=value)


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
