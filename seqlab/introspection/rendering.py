"""Equations as plain text and as LaTeX, in the order in which their author wrote them."""

from __future__ import annotations

import re
from typing import NamedTuple

from seqlab.expressions import Node, Symbol
from seqlab.introspection.equations import Equations, is_affine, is_sum
from seqlab.introspection.naming import GREEK

_OPEN, _SUM, _PRODUCT, _POWER, _ATOM = range(5)
#: How strongly an operator binds, and how strongly each of its arguments must.
_BINDING = {
    "mul": (_PRODUCT, (_PRODUCT, _PRODUCT)), "scale": (_PRODUCT, (_PRODUCT, _PRODUCT)),
    "div": (_PRODUCT, (_PRODUCT, _ATOM)), "pow": (_POWER, (_ATOM, _ATOM)),
    "product": (_PRODUCT, (_ATOM, _ATOM)), "where": (_OPEN, (_OPEN, _OPEN, _OPEN)),
    **dict.fromkeys(("lt", "le", "gt", "ge", "eq", "ne"), (_OPEN, (_SUM, _SUM))),
}  # fmt: skip
_FORMS = {
    "mul": "{} * {}", "scale": "{} * {}", "div": "{} / {}", "pow": "{}^{}", "product": "{} {}",
    "where": "{1} if {0} else {2}", "lt": "{} < {}", "le": "{} <= {}", "gt": "{} > {}",
    "ge": "{} >= {}", "eq": "{} = {}", "ne": "{} != {}", "brackets": "({})", "call": "{}({})",
}  # fmt: skip
_LATEX_FORMS = _FORMS | {
    "mul": r"{} \odot {}", "scale": r"{} \cdot {}", "div": r"\frac{{{}}}{{{}}}",
    "pow": "{}^{{{}}}", "le": r"{} \le {}", "ge": r"{} \ge {}", "ne": r"{} \ne {}",
    "where": r"\begin{{cases}} {1} & {0} \\ {2} & \text{{otherwise}} \end{{cases}}",
    "brackets": r"\left({}\right)", "call": r"{}\left({}\right)", "sqrt": r"\sqrt{{{1}}}",
}  # fmt: skip
_LATEX_FUNCTIONS = {"sigmoid": r"\sigma", "tanh": r"\tanh", "exp": r"\exp", "log": r"\log",
                    "maximum": r"\max", "minimum": r"\min"}  # fmt: skip


def plain_equations(equations: Equations) -> list[tuple[str, str]]:
    """Left and right sides as plain text, in computing order.

    >>> from seqlab.cells.rnn import RNNCell
    >>> from seqlab.introspection.naming import equations_of
    >>> plain_equations(equations_of(RNNCell(2, 3)))
    [('h_t', 'tanh(W x_t + U h_{t-1} + b)')]
    """
    writer = _Plain(equations)
    return [(e.name, writer.body(e.node).text) for e in equations.equations]


def latex_equations(equations: Equations) -> str:
    r"""All equations as one ``aligned`` environment, without the dollars around it."""
    writer = _Latex(equations)
    lines = [f"{writer.name(e.name)} &= {writer.body(e.node).text}" for e in equations.equations]
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


class _Term(NamedTuple):
    """A piece of text with the strength that binds it."""

    text: str
    strength: int


class _Plain:
    """Writes nodes as plain text; ``_Latex`` changes what differs."""

    forms, binding = _FORMS, _BINDING

    def __init__(self, equations: Equations) -> None:
        self.equations = equations

    def name(self, name: str) -> str:
        """A symbol with its time."""
        return name

    def number(self, value: float) -> str:
        """A number."""
        return f"{value:g}"

    def function(self, name: str) -> str:
        """The name of a function."""
        return name

    def body(self, node: Node) -> _Term:
        """The right side of a node's own equation."""
        if is_sum(node):
            return self._sum(node)
        if node.op == "symbol":
            return _Term(self.name(self.equations.letter(node.value)), _ATOM)
        if node.op == "number":
            return _Term(self.number(node.value), _ATOM if node.value >= 0 else _SUM)
        if node.op == "call":
            form = self.forms.get(node.value, self.forms["call"])
            inside = ", ".join(self._inside(a, _OPEN) for a in node.args)
            return _Term(form.format(self.function(node.value), inside), _ATOM)
        scales = node.op == "mul" and any(a.op == "number" for a in node.args)
        op = "scale" if scales else node.op
        strength, wanted = self.binding[op]
        arguments = [self._inside(a, w) for a, w in zip(node.args, wanted, strict=True)]
        return _Term(self.forms[op].format(*arguments), strength)

    def _inside(self, node: Node, strength: int) -> str:
        """A node inside an equation: its name, where it has one."""
        name = self.equations.names.get(node)
        text, bound = _Term(self.name(name), _ATOM) if name else self.body(node)
        return text if bound >= strength else self.forms["brackets"].format(text)

    def _sum(self, node: Node) -> _Term:
        """A sum, flattened: products first, biases last, and no minus first if that can be."""
        terms: list[tuple[str, str]] = []
        biases: list[tuple[str, str]] = []
        for sign, part in self.equations.terms(node):
            if is_affine(part) and (part is node or part not in self.equations.names):
                product, bias = self._affine(part.value)
                terms.append((sign, product))
                biases += [(sign, bias)] if bias else []
            elif part.op == "number":
                positive = (part.value >= 0) == (sign == "+")
                terms.append(("+" if positive else "-", self.number(abs(part.value))))
            else:
                terms.append((sign, self._inside(part, _PRODUCT)))
        ordered = [*terms, *biases]
        first = next((i for i, (sign, _) in enumerate(ordered) if sign == "+"), 0)
        ordered.insert(0, ordered.pop(first))
        text = "".join(f" {sign} {text}" for sign, text in ordered)
        text = text[3:] if ordered[0][0] == "+" else f"-{text[3:]}"
        return _Term(text, _SUM if len(ordered) > 1 or ordered[0][0] == "-" else _PRODUCT)

    def _affine(self, symbol: Symbol) -> tuple[str, str]:
        """``W_g x_t`` and ``b_g``, or ``U_g h_{t-1}`` and the recurrent bias."""
        matrix, vector, bias = self.equations.affine(symbol)
        text = self.name(vector) if isinstance(vector, str) else self._inside(vector, _ATOM)
        return f"{self.name(matrix)} {text}", self.name(bias)


class _Latex(_Plain):
    """Writes nodes as LaTeX."""

    forms, binding = _LATEX_FORMS, _BINDING | {"div": (_ATOM, (_OPEN, _OPEN))}

    def name(self, name: str) -> str:
        r"""``h_{t-1}`` as it is, ``W_skip`` as ``W_{\mathrm{skip}}``, ``nu`` as ``\nu``."""
        base, _, sub = name.partition("_")
        sub = sub.strip("{}")
        shown = rf"\mathrm{{{sub}}}" if re.fullmatch(r"[a-z-]{2,}", sub) else sub
        if base in GREEK:
            base = f"\\{base}"
        elif len(base.rstrip("'")) > 1:
            base = rf"\mathrm{{{base}}}"
        return base + (f"_{{{shown}}}" if sub else "")

    def number(self, value: float) -> str:
        r"""``1e-12`` as ``1 \cdot 10^{-12}``."""
        return re.sub(r"e\+?(-?)0*(\d+)", r" \\cdot 10^{\1\2}", f"{value:g}")

    def function(self, name: str) -> str:
        """A symbol, or the name upright."""
        upright = name.replace("_", "-")
        return _LATEX_FUNCTIONS.get(name, rf"\operatorname{{{upright}}}")
