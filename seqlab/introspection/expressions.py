"""Equations as trees of shared nodes, built from what torch.fx records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

#: Operators that keep an equation linear in its parts: a gate is seen through them.
ARITHMETIC = frozenset({"add", "sub", "mul", "div", "neg"})


class Symbol(NamedTuple):
    """A name in an equation.

    ``kind``: ``x`` (the input), ``state`` (before the step), ``parameter``, ``input`` or
    ``recurrent`` (a gate's part of the two matrix products).
    """

    kind: str
    name: str


class Node:
    """One value: an operator and what it is applied to. Equal values are one node of a pool.

    ``op`` is ``symbol``, ``number``, an operator of ``ARITHMETIC``, or ``call`` with ``value`` the
    function's name.
    """

    def __init__(self, op: str, args: tuple[Node, ...] = (), value: Any = None) -> None:
        self.op, self.args, self.value = op, args, value

    def walk(self) -> Iterator[Node]:
        """This node and all below it, each once, arguments first."""
        seen: set[int] = set()

        def visit(node: Node) -> Iterator[Node]:
            if id(node) in seen:
                return
            seen.add(id(node))
            for argument in node.args:
                yield from visit(argument)
            yield node

        yield from visit(self)


class Pool:
    """Makes nodes, and hands out the same one for the same value."""

    def __init__(self) -> None:
        self._nodes: dict[Any, Node] = {}

    def make(self, op: str, *args: Node, value: Any = None) -> Node:
        """The node of an operator with arguments."""
        key = (op, value, *map(id, args))
        if key not in self._nodes:
            self._nodes[key] = Node(op, args, value)
        return self._nodes[key]

    def symbol(self, kind: str, name: str) -> Node:
        """The node of a name."""
        return self.make("symbol", value=Symbol(kind, name))

    def number(self, value: float) -> Node:
        """The node of a number."""
        return self.make("number", value=float(value))


class Equation(NamedTuple):
    """``name = node``; ``name`` is a symbol's letter with its time, such as ``h_t``."""

    name: str
    node: Node


class Equations(NamedTuple):
    """All equations of one step, in an order in which they can be computed.

    ``names`` maps nodes to the names that stand for them in other equations; ``letters`` maps
    gates, state fields and parameters to their symbols. ``second`` is what the second recurrent
    product multiplies, and ``second_gates`` the gates it makes.
    """

    equations: tuple[Equation, ...]
    names: dict[Node, str]
    letters: dict[Symbol, str]
    second: Node | None
    second_gates: tuple[str, ...]
    has_bias: bool
    has_recurrent_bias: bool
    hidden: str

    def counts(self) -> dict[str, int]:
        """How often each elementwise operator is evaluated for one unit in one step."""
        roots = [equation.node for equation in self.equations]
        seen: dict[Node, None] = {}
        for root in roots if self.second is None else [*roots, self.second]:
            seen.update(dict.fromkeys(root.walk()))
        found: dict[str, int] = {}
        for node in seen:
            if node.op not in {"symbol", "number", "product"}:
                name = str(node.value) if node.op == "call" else node.op
                found[name] = found.get(name, 0) + 1
        return dict(sorted(found.items()))
