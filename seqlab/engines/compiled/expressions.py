"""Elementwise expressions: a small, closed language between traced equations and C++."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import NamedTuple


class Node(NamedTuple):
    """One elementwise value: ``op`` applied to ``args``.

    ``input`` has the args (kind, index), ``const`` a number; every other op has nodes.
    """

    op: str
    args: tuple[Node | str | float, ...]

    @property
    def operands(self) -> tuple[Node, ...]:
        """The nodes that this one is computed from."""
        return tuple(arg for arg in self.args if isinstance(arg, Node))


#: Ops so cheap that computing them again costs less than keeping their value.
CHEAP = frozenset({
    "const", "add", "sub", "mul", "neg", "max", "min", "abs", "sign", "where",
    "gt", "ge", "lt", "le", "eq", "ne", "and", "or", "not", "real",
})  # fmt: skip
#: Ops whose value is a truth value.
LOGICAL = frozenset({"gt", "ge", "lt", "le", "eq", "ne", "and", "or", "not"})

_FOLD: dict[str, Callable[[float, float], float]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul,
}  # fmt: skip


def const(value: float) -> Node:
    """A number."""
    return Node("const", (float(value),))


def variable(kind: str, index: int) -> Node:
    """An input: gate ``x`` or ``h``, state ``s``, parameter ``p``, noise ``z``, gradient ``d*``."""
    return Node("input", (kind, index))


def number(node: Node) -> float | None:
    """The value of a constant; None for anything else."""
    value = node.args[0] if node.op == "const" else None
    return value if isinstance(value, float) else None


def make(op: str, *args: Node) -> Node:
    """The node ``op(args)``, with what numbers and zeros make trivial worked out."""
    first = number(args[0])
    second = number(args[1]) if len(args) > 1 else None
    if op in _FOLD and first is not None and second is not None:
        return const(_FOLD[op](first, second))
    if op == "neg" and first is not None:
        return const(-first)
    neutral = {"add": 0.0, "sub": 0.0, "mul": 1.0, "div": 1.0}.get(op)
    if neutral is not None and second == neutral:
        return args[0]
    if op in {"add", "mul"} and first == neutral:
        return args[1]
    return Node(op, args)


class Builder:
    """Makes each distinct node once, so that equal values are computed once."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Node] = {}

    def __call__(self, op: str, *args: Node) -> Node:
        """The one node that is ``op(args)``."""
        return self.unique(make(op, *args))

    def unique(self, node: Node) -> Node:
        """The one node equal to this one, whose operands are unique already."""
        key = (node.op, *(id(a) if isinstance(a, Node) else repr(a) for a in node.args))
        return self._known.setdefault(key, node)


def ordered(outputs: Iterable[Node], stop: Callable[[Node], bool]) -> list[Node]:
    """The nodes that the outputs are computed from, operands first; not beyond ``stop``."""
    done: dict[int, Node] = {}
    pending = [(node, False) for node in reversed(list(outputs))]
    while pending:
        node, expanded = pending.pop()
        if id(node) in done:
            continue
        if expanded or stop(node) or not node.operands:
            done[id(node)] = node
            continue
        pending.append((node, True))
        pending.extend((operand, False) for operand in reversed(node.operands))
    return list(done.values())


def literal(value: float) -> str:
    """A number as C++ writes it."""
    if math.isinf(value):
        sign = "-" if value < 0 else ""
        return f"{sign}std::numeric_limits<real>::infinity()"
    return "std::numeric_limits<real>::quiet_NaN()" if math.isnan(value) else f"real({value!r})"
