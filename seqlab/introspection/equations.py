"""The equations of a cell's step, named, as pages write and draw them."""

from __future__ import annotations

from typing import NamedTuple

from seqlab.expressions import Node, Symbol, ordered

_SIGNS = {"+": "-", "-": "+"}


def is_affine(node: Node) -> bool:
    """Whether a node is a gate's part of one of the matrix products."""
    return node.op == "symbol" and node.value.kind in {"input", "recurrent"}


def is_sum(node: Node) -> bool:
    """Whether a node is written as a sum; a matrix product brings its bias."""
    return node.op in {"add", "sub", "neg"} or is_affine(node)


class Equation(NamedTuple):
    """``name = node``; ``name`` is a symbol's letter with its time, such as ``h_t``."""

    name: str
    node: Node


class Affine(NamedTuple):
    """A gate's matrix product: ``W_i``, what it multiplies (``x_t``), and ``b_i`` or ``""``."""

    matrix: str
    vector: str | Node
    bias: str


class Equations(NamedTuple):
    """All equations of one step, in an order in which they can be computed.

    ``names`` maps nodes to the names that stand for them in other equations; ``letters`` maps
    gates, state fields and parameters to their symbols. ``second`` is what the second recurrent
    product multiplies, and ``second_gates`` the gates it makes. Symbols have the kinds ``x`` (the
    input), ``state`` (before the step), ``parameter``, ``input`` and ``recurrent`` (a gate's part
    of the two matrix products).
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
        found: dict[str, int] = {}
        for node in ordered(roots if self.second is None else [*roots, self.second]):
            if node.op not in {"symbol", "number", "product"}:
                name = node.value if node.op == "call" else node.op
                found[name] = found.get(name, 0) + 1
        return dict(sorted(found.items()))

    def letter(self, symbol: Symbol) -> str:
        """A symbol as it is written, with its time."""
        if symbol.kind == "x":
            return "x_t"
        return self.letters[symbol] + ("_{t-1}" if symbol.kind == "state" else "")

    def affine(self, symbol: Symbol) -> Affine:
        """The matrix product that a gate's symbol stands for."""
        letter = self.letters[Symbol("input", symbol.name)]
        sub = f"_{letter}" if letter else ""
        if symbol.kind == "input":
            return Affine(f"W{sub}", "x_t", f"b{sub}" if self.has_bias else "")
        bias = f"b'{sub}" if self.has_recurrent_bias else ""
        if self.second is not None and symbol.name in self.second_gates:
            return Affine(f"U{sub}", self.second, bias)
        return Affine(f"U{sub}", f"{self.hidden}_{{t-1}}", bias)

    def terms(self, node: Node, sign: str = "+") -> list[tuple[str, Node]]:
        """What a sum adds up, each with its sign; not what stands behind a name."""
        if node.op == "neg":
            parts = [(_SIGNS[sign], node.args[0])]
        elif node.op in {"add", "sub"}:
            second = _SIGNS[sign] if node.op == "sub" else sign
            parts = [(sign, node.args[0]), (second, node.args[1])]
        else:
            return [(sign, node)]
        found = []
        for inner, part in parts:
            found += [(inner, part)] if part in self.names else self.terms(part, inner)
        return found
