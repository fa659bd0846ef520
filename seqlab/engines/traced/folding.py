"""The operators of traced equations, and what numbers make of them."""

from __future__ import annotations

import operator
from collections.abc import Callable
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
