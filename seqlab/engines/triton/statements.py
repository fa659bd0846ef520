"""Statements of Triton's language for expressions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from seqlab.expressions import Node, ordered

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "gt": ">", "ge": ">=", "lt": "<",
          "le": "<=", "eq": "==", "ne": "!=", "and": "&", "or": "|"}  # fmt: skip
_TL = {"exp", "log", "sqrt", "rsqrt", "sin", "cos", "erf", "floor", "abs"}


class Statements:
    """Statements that compute values, each once, by names that begin with a letter of their own."""

    def __init__(self, letter: str, loaded: Callable[[Node], str | None]) -> None:
        self.letter, self.loaded = letter, loaded
        self.names: dict[Node, str] = {}
        self.lines: list[str] = []

    def __getitem__(self, node: Node) -> str:
        return self.names[node]

    def add(self, outputs: Iterable[Node]) -> None:
        """Compute the outputs."""
        for node in ordered(outputs, lambda n: self.loaded(n) is not None):
            if node in self.names:
                continue
            name = self.loaded(node)
            if name is None and node.op == "symbol":
                name = _symbol(node)
            if name is None:
                name = f"{self.letter}{len(self.lines)}"
                self.lines.append(f"{name} = {self._value(node)}")
            self.names[node] = name

    def _value(self, node: Node) -> str:
        if node.op == "number":
            return f"tl.full([1, 1], {_literal(node.value)}, REAL)"
        return _in_triton(node.op, [self.names[a] for a in node.args])


def _symbol(node: Node) -> str:
    kind, index = node.value
    named = {"do": "d_output", "dv": "d_second"}
    return named.get(kind) or f"{'d' if kind == 'ds' else kind}{index}"


def _in_triton(op: str, args: Sequence[str]) -> str:
    """An operator's value, from the names of its arguments."""
    if op in _INFIX:
        return f"{args[0]} {_INFIX[op]} {args[1]}"
    if op in {"max", "min"}:
        named = {"max": "maximum", "min": "minimum"}[op]
        return f"tl.{named}({args[0]}, {args[1]}, propagate_nan=tl.PropagateNan.ALL)"
    if op in _TL:
        return f"tl.{op}({args[0]})"
    plain = {
        "neg": "-{0}", "not": "{0} == 0", "where": "tl.where({0}, {1}, {2})",
        "real": "{0}.to(REAL)", "sign": "({0} > 0).to(REAL) - ({0} < 0).to(REAL)",
    }  # fmt: skip
    return plain[op].format(*args) if op in plain else f"v_{op}({', '.join(args)})"


def _literal(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return f'float("{value}")'
