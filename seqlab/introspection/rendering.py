"""Equations as plain text and as LaTeX."""

from __future__ import annotations

import re
from typing import NamedTuple

from seqlab.expressions import Node, Symbol
from seqlab.introspection.equations import Equations

_SUM, _PRODUCT, _POWER, _ATOM = range(1, 5)
_RELATIONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "=", "ne": "!="}
_LATEX_RELATIONS = {"<=": r"\le", ">=": r"\ge", "!=": r"\ne"}
_LATEX_FUNCTIONS = {"sigmoid": r"\sigma", "tanh": r"\tanh", "exp": r"\exp", "log": r"\log",
                    "maximum": r"\max", "minimum": r"\min"}  # fmt: skip


class Term(NamedTuple):
    """A piece of text with the strength that binds it."""

    text: str
    strength: int


def plain_equations(equations: Equations) -> list[tuple[str, str]]:
    """Left and right sides as plain text, in computing order.

    >>> from seqlab.cells.rnn import RNNCell
    >>> from seqlab.introspection.equations import equations_of
    >>> plain_equations(equations_of(RNNCell(2, 3)))
    [('h_t', 'tanh(W x_t + U h_{t-1} + b)')]
    """
    writer = Plain(equations)
    return [(e.name, writer.body(e.node).text) for e in equations.equations]


def latex_equations(equations: Equations) -> str:
    r"""All equations as one ``aligned`` environment, without the dollars around it."""
    writer = Latex(equations)
    lines = [f"{writer.name(e.name)} &= {writer.body(e.node).text}" for e in equations.equations]
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


class Plain:
    """Writes nodes as plain text; ``Latex`` changes what differs."""

    times = " * "

    def __init__(self, equations: Equations) -> None:
        self.equations = equations

    def body(self, node: Node) -> Term:
        """The right side of a node's own equation."""
        return self._write(node)

    def term(self, node: Node) -> Term:
        """A node inside an equation: its name, where it has one."""
        name = self.equations.names.get(node)
        return Term(self.name(name), _ATOM) if name else self._write(node)

    def name(self, name: str) -> str:
        """A symbol with its time."""
        return name

    def _write(self, node: Node) -> Term:
        if node.op in {"add", "sub", "neg"} or self._is_affine(node):
            return self._sum(node)
        if node.op == "symbol":
            return Term(self.name(self._letter(node.value)), _ATOM)
        if node.op == "number":
            return Term(f"{node.value:g}", _ATOM if node.value >= 0 else _SUM)
        if node.op in _RELATIONS or node.op == "where":
            return self._case(node)
        if node.op == "call":
            arguments = ", ".join(self.term(a).text for a in node.args)
            return Term(self._call(str(node.value), arguments), _ATOM)
        return self._operation(node)

    def _operation(self, node: Node) -> Term:
        """Products, quotients and powers."""
        if node.op == "div":
            return self._quotient(node)
        if node.op == "mul":
            parts = [self._inside(a, _PRODUCT) for a in node.args]
            return Term(self._times(node, parts), _PRODUCT)
        first, second = (self._inside(a, _ATOM) for a in node.args)
        if node.op == "product":
            return Term(f"{first} {second}", _PRODUCT)
        return Term(self._power(first, second), _POWER)

    def _case(self, node: Node) -> Term:
        """Comparisons, and the choice that depends on one."""
        if node.op == "where":
            condition, yes, no = (self.term(a).text for a in node.args)
            return Term(self._choice(condition, yes, no), 0)
        left, right = (self._inside(a, _SUM) for a in node.args)
        return Term(self._relation(left, _RELATIONS[node.op], right), 0)

    def _is_affine(self, node: Node) -> bool:
        return node.op == "symbol" and node.value.kind in {"input", "recurrent"}

    def _sum(self, node: Node) -> Term:
        """A sum, flattened: products first, biases last."""
        terms: list[tuple[str, str]] = []
        biases: list[tuple[str, str]] = []
        self._collect(node, "+", terms, biases, top=True)
        ordered = [*terms, *biases]
        first = next((i for i, (sign, _) in enumerate(ordered) if sign == "+"), 0)
        ordered.insert(0, ordered.pop(first))
        text = "".join(f" {sign} {text}" for sign, text in ordered)
        text = text[3:] if ordered[0][0] == "+" else f"-{text[3:]}"
        return Term(text, _SUM if len(ordered) > 1 or ordered[0][0] == "-" else _PRODUCT)

    def _collect(
        self,
        node: Node,
        sign: str,
        terms: list[tuple[str, str]],
        biases: list[tuple[str, str]],
        *,
        top: bool = False,
    ) -> None:
        opposite = {"+": "-", "-": "+"}[sign]
        named = not top and node in self.equations.names
        if named or (node.op not in {"add", "sub", "neg"} and not self._is_affine(node)):
            terms.append((sign, self._inside(node, _PRODUCT)))
        elif node.op == "symbol":
            product, bias = self._affine(node.value)
            terms.append((sign, product))
            biases.extend([(sign, bias)] if bias else [])
        elif node.op == "neg":
            self._collect(node.args[0], opposite, terms, biases)
        else:
            self._collect(node.args[0], sign, terms, biases)
            second = opposite if node.op == "sub" else sign
            self._collect(node.args[1], second, terms, biases)

    def _affine(self, symbol: Symbol) -> tuple[str, str]:
        """``W_g x_t`` and ``b_g``, or ``U_g h_{t-1}`` and the recurrent bias."""
        known = self.equations
        letter = known.letters[Symbol("input", symbol.name)]
        if symbol.kind == "input":
            bias = self.name(_with("b", letter)) if known.has_bias else ""
            return f"{self.name(_with('W', letter))} {self.name('x_t')}", bias
        bias = self.name(_with("b'", letter)) if known.has_recurrent_bias else ""
        if symbol.name in known.second_gates and known.second is not None:
            vector = self._inside(known.second, _ATOM)
        else:
            vector = self.name(f"{known.hidden}_{{t-1}}")
        return f"{self.name(_with('U', letter))} {vector}", bias

    def _letter(self, symbol: Symbol) -> str:
        if symbol.kind == "x":
            return "x_t"
        letter = self.equations.letters[symbol]
        return f"{letter}_{{t-1}}" if symbol.kind == "state" else letter

    def _inside(self, node: Node, strength: int) -> str:
        term = self.term(node)
        return term.text if term.strength >= strength else self._parentheses(term.text)

    def _quotient(self, node: Node) -> Term:
        top, bottom = self._inside(node.args[0], _PRODUCT), self._inside(node.args[1], _ATOM)
        return Term(f"{top} / {bottom}", _PRODUCT)

    def _times(self, node: Node, parts: list[str]) -> str:
        del node
        return self.times.join(parts)

    def _parentheses(self, text: str) -> str:
        return f"({text})"

    def _power(self, base: str, exponent: str) -> str:
        return f"{base}^{exponent}"

    def _relation(self, left: str, sign: str, right: str) -> str:
        return f"{left} {sign} {right}"

    def _choice(self, condition: str, yes: str, no: str) -> str:
        return f"{yes} if {condition} else {no}"

    def _call(self, name: str, arguments: str) -> str:
        return f"{name}({arguments})"


def _with(symbol: str, letter: str) -> str:
    """``W_i``, or ``W`` where there is one gate only."""
    return f"{symbol}_{letter}" if letter else symbol


class Latex(Plain):
    """Writes nodes as LaTeX."""

    def name(self, name: str) -> str:
        r"""``h_{t-1}`` as it is, ``W_skip`` as ``W_{\mathrm{skip}}``, ``nu`` as ``\nu``."""
        base, _, sub = name.partition("_")
        sub = sub.strip("{}")
        words = re.fullmatch(r"[a-z-]{2,}", sub)
        shown = rf"\mathrm{{{sub}}}" if words else sub
        return self._base(base) + (f"_{{{shown}}}" if sub else "")

    def _base(self, base: str) -> str:
        if len(base.rstrip("'")) == 1:
            return base
        if re.fullmatch(r"alpha|beta|gamma|delta|epsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|rho"
                        r"|sigma|tau|phi|psi|omega", base):  # fmt: skip
            return f"\\{base}"
        return rf"\mathrm{{{base}}}"

    def _times(self, node: Node, parts: list[str]) -> str:
        number = any(argument.op == "number" for argument in node.args)
        return (r" \cdot " if number else r" \odot ").join(parts)

    def _quotient(self, node: Node) -> Term:
        top, bottom = (self.term(argument).text for argument in node.args)
        return Term(rf"\frac{{{top}}}{{{bottom}}}", _ATOM)

    def _parentheses(self, text: str) -> str:
        return rf"\left({text}\right)"

    def _power(self, base: str, exponent: str) -> str:
        return f"{base}^{{{exponent}}}"

    def _relation(self, left: str, sign: str, right: str) -> str:
        return f"{left} {_LATEX_RELATIONS.get(sign, sign)} {right}"

    def _choice(self, condition: str, yes: str, no: str) -> str:
        return rf"\begin{{cases}} {yes} & {condition} \\ {no} & \text{{otherwise}} \end{{cases}}"

    def _call(self, name: str, arguments: str) -> str:
        if name == "sqrt":
            return rf"\sqrt{{{arguments}}}"
        function = _LATEX_FUNCTIONS.get(name, rf"\operatorname{{{name.replace('_', '-')}}}")
        return rf"{function}\left({arguments}\right)"
