"""The equations of a cell's step, named, as pages write and draw them."""

from __future__ import annotations

from collections.abc import Mapping
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
    gates, state fields and parameters to their symbols. ``vectors`` is what the recurrent product
    of a gate multiplies, where that is not the first field of the state. Symbols have the kinds
    ``x`` (the input), ``raw`` (a part of it), ``state`` (before the step), ``parameter``, ``input``
    and ``recurrent`` (a gate's part of the two matrix products).
    """

    equations: tuple[Equation, ...]
    names: dict[Node, str]
    letters: dict[Symbol, str]
    vectors: Mapping[str, Node]
    has_bias: bool
    has_recurrent_bias: bool
    hidden: str

    def counts(self) -> dict[str, int]:
        """How often each elementwise operator is evaluated for one unit in one step."""
        roots = [equation.node for equation in self.equations]
        found: dict[str, int] = {}
        for node in ordered([*roots, *self.vectors.values()]):
            if node.op not in {"symbol", "number", "product"}:
                name = node.value if node.op == "call" else node.op
                found[name] = found.get(name, 0) + 1
        return dict(sorted(found.items()))

    def letter(self, symbol: Symbol) -> str:
        """A symbol as it is written, with its time."""
        if symbol.kind == "x":
            return "x_t"
        return self.letters[symbol] + {"state": "_{t-1}", "raw": "_t"}.get(symbol.kind, "")

    def affine(self, symbol: Symbol) -> Affine:
        """The matrix product that a gate's symbol stands for."""
        letter = self.letters[Symbol("input", symbol.name)]
        sub = f"_{letter}" if letter else ""
        if symbol.kind == "input":
            return Affine(f"W{sub}", "x_t", f"b{sub}" if self.has_bias else "")
        bias = f"b'{sub}" if self.has_recurrent_bias else ""
        vector = self.vectors.get(str(symbol.name))
        if vector is not None:
            return Affine(f"U{sub}", vector, bias)
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
