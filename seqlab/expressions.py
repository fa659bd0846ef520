"""Expressions as one graph: equal values are one node, whoever traced them.

The compiled engine writes such a graph as C++, the pages of ``list`` as equations and diagrams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Symbol(NamedTuple):
    """An input of the equations: what it is, and its name or place among those of its kind."""

    kind: str
    name: str | int


class Node:
    """One value: an operator and what it is applied to.

    ``op`` is ``symbol`` (``value`` is a ``Symbol``), ``number`` (a float), ``call`` (the name of a
    function) or an operator, which has no ``value``. Made by a graph only, so two are equal where
    they are the same object.
    """

    __slots__ = ("args", "op", "value")

    def __init__(self, op: str, args: tuple[Node, ...], value: Any) -> None:
        self.op, self.args, self.value = op, args, value

    @property
    def number(self) -> float | None:
        """The number that this is, or None."""
        return self.value if self.op == "number" else None


class Graph:
    """Makes expressions, each distinct one once (hash-consing).

    >>> graph = Graph()
    >>> x = graph.symbol("state", "hidden")
    >>> graph.make("mul", x, graph.number(2)) is graph.make("mul", x, graph.number(2))
    True
    """

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Node] = {}

    def make(self, op: str, *args: Node, value: Any = None) -> Node:
        """The one expression of an operator with these arguments."""
        # repr tells 0.0 from -0.0, and nan is itself
        key = (op, repr(value), *args)
        if key not in self._known:
            self._known[key] = Node(op, args, value)
        return self._known[key]

    def symbol(self, kind: str, name: str | int) -> Node:
        """The expression of a symbol."""
        return self.make("symbol", value=Symbol(kind, name))

    def number(self, value: float) -> Node:
        """The expression of a number."""
        return self.make("number", value=float(value))


def ordered(outputs: Iterable[Node], stop: Callable[[Node], bool] = lambda _: False) -> list[Node]:
    """What the outputs are computed from, each once, arguments first; not beyond ``stop``."""
    done: dict[Node, None] = {}
    pending = [(expression, False) for expression in reversed(list(outputs))]
    while pending:
        expression, expanded = pending.pop()
        if expression in done:
            continue
        if expanded or stop(expression):
            done[expression] = None
            continue
        pending.append((expression, True))
        pending.extend((argument, False) for argument in reversed(expression.args))
    return list(done)
