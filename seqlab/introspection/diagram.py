"""A cell's equations as a graph of operations, and that graph as text and as Mermaid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from seqlab.expressions import Node, Symbol
from seqlab.introspection.equations import Equations
from seqlab.introspection.rendering import Plain

_SIGNS = {"mul": "⊙", "div": "/", "pow": "^", "lt": "<", "le": "≤", "gt": ">", "ge": "≥",
          "eq": "=", "ne": "≠", "where": "where"}  # fmt: skip
_FUNCTIONS = {"sigmoid": "\N{GREEK SMALL LETTER SIGMA}"}
_MINUS = "\N{MINUS SIGN}"


class Box(NamedTuple):
    """One box of a diagram.

    ``kind`` is ``input``, ``matrix``, ``operation`` or ``output``; ``name`` is what its value is
    called in the equations, or ``""``.
    """

    label: str
    kind: str
    name: str = ""


@dataclass
class Diagram:
    """Boxes, and arrows ``(from, to, label)`` between their indices."""

    boxes: list[Box] = field(default_factory=list)
    arrows: list[tuple[int, int, str]] = field(default_factory=list)

    def sources(self, index: int) -> list[tuple[int, str]]:
        """Where a box's arrows come from, with their labels."""
        return [(start, label) for start, end, label in self.arrows if end == index]


def diagram_of(equations: Equations) -> Diagram:
    """The graph of a cell's step.

    >>> from seqlab.cells.rnn import RNNCell
    >>> from seqlab.introspection.equations import equations_of
    >>> [box.label for box in diagram_of(equations_of(RNNCell(2, 3))).boxes]
    ['x_t', 'h_{t-1}', 'W x + U h + b', 'tanh', 'h_t']
    """
    return _Drawing(equations).draw()


def as_text(diagram: Diagram) -> str:
    """One tree for each named value, down to other named values and inputs."""
    lines: list[str] = []
    for index, box in enumerate(diagram.boxes):
        if box.name and box.kind in {"operation", "matrix"}:
            lines.append(f"{box.name} = {box.label}")
            lines += _branches(diagram, index, "  ")
    return "\n".join(lines)


def as_mermaid(diagram: Diagram) -> str:
    """A Mermaid flow chart, as Markdown pages show it."""
    lines = ["flowchart LR"]
    shapes = {
        "input": '(["{}"])',
        "output": '(["{}"])',
        "matrix": '["{}"]',
        "operation": '(("{}"))',
    }
    for index, box in enumerate(diagram.boxes):
        text = f"{box.label}<br/>{box.name}" if box.name else box.label
        lines.append(f"  n{index}{shapes[box.kind].format(text)}")
    for start, end, label in diagram.arrows:
        arrow = f"-- {label} -->" if label else "-->"
        lines.append(f"  n{start} {arrow} n{end}")
    return "\n".join(lines)


def _branches(diagram: Diagram, index: int, indent: str) -> list[str]:
    lines = []
    sources = diagram.sources(index)
    for place, (start, label) in enumerate(sources):
        last = place == len(sources) - 1
        box = diagram.boxes[start]
        text = f"{label} " if label else ""
        stop = box.name or box.kind in {"input", "matrix"}
        lines.append(f"{indent}{'└─' if last else '├─'} {text}{box.name or box.label}")
        if not stop:
            lines += _branches(diagram, start, indent + ("   " if last else "│  "))
    return lines


class _Drawing:
    """Turns nodes into boxes, each once."""

    def __init__(self, equations: Equations) -> None:
        self.equations, self.diagram = equations, Diagram()
        self.writer = Plain(equations)
        self.known: dict[object, int] = {}

    def draw(self) -> Diagram:
        """All equations, then the outputs."""
        drawn = {equation.name: self._visit(equation.node) for equation in self.equations.equations}
        fields = [letter for symbol, letter in self.equations.letters.items()
                  if symbol.kind == "state"]  # fmt: skip
        for name in ("y_t", *(f"{letter}_t" for letter in fields)):
            if name in drawn:
                self.diagram.arrows.append((drawn[name], self._box(Box(name, "output")), ""))
        return self.diagram

    def _box(self, box: Box, key: object = None) -> int:
        if key is not None and key in self.known:
            return self.known[key]
        self.diagram.boxes.append(box)
        index = len(self.diagram.boxes) - 1
        if key is not None:
            self.known[key] = index
        return index

    def _input(self, label: str) -> int:
        return self._box(Box(label, "input"), label)

    def _connect(self, box: Box, key: object, sources: list[tuple[int, str]]) -> int:
        index = self._box(box, key)
        self.diagram.arrows += [(start, index, label) for start, label in sources]
        return index

    def _visit(self, node: Node) -> int:
        if node in self.known:
            return self.known[node]
        name = self.equations.names.get(node, "")
        if node.op in {"add", "sub", "neg"} or self._is_affine(node):
            return self._sum(node, name)
        if node.op == "symbol":
            return self._input(self.writer.term(node).text)
        if node.op == "number":
            return self._input(f"{node.value:g}")
        if node.op == "product":
            matrix, vector = node.args
            box = Box(f"{self.writer.term(matrix).text} ·", "matrix", name)
            return self._connect(box, node, [(self._visit(vector), "")])
        if node.op == "call":
            label = _FUNCTIONS.get(str(node.value), str(node.value))
        else:
            label = _SIGNS[node.op]
        numbers = [a for a in node.args if a.op == "number"]
        if node.op in {"mul", "div", "pow"} and len(numbers) == 1:
            label = f"{label} {numbers[0].value:g}"
            rest = [a for a in node.args if a.op != "number"]
        else:
            rest = list(node.args)
        sources = [(self._visit(argument), "") for argument in rest]
        return self._connect(Box(label, "operation", name), node, sources)

    def _is_affine(self, node: Node) -> bool:
        return node.op == "symbol" and node.value.kind in {"input", "recurrent"}

    def _is_loose(self, node: Node) -> bool:
        """Whether a gate's part of a matrix product stands in a sum without a name of its own."""
        return self._is_affine(node) and node not in self.equations.names

    def _sum(self, node: Node, name: str) -> int:
        if self._is_affine(node):
            return self._matrix(node.value.name, [node], name)
        terms: list[tuple[str, Node]] = []
        self._terms(node, "+", terms, top=True)
        grouped: dict[tuple[str, str], list[Node]] = {}
        for sign, part in terms:
            if self._is_loose(part):
                grouped.setdefault((part.value.name, sign), []).append(part)
        sources = [
            (self._matrix(gate, parts, ""), "" if sign == "+" else _MINUS)
            for (gate, sign), parts in grouped.items()
        ]
        numbers = [(s, n.value) for s, n in terms if n.op == "number"]
        for sign, part in terms:
            if not self._is_loose(part) and part.op != "number":
                sources.append((self._visit(part), "" if sign == "+" else _MINUS))
        if len(sources) == 1 and not numbers and not sources[0][1] and not name:
            self.known[node] = sources[0][0]
            return sources[0][0]
        if len(sources) == 1 and not numbers and sources[0][1]:
            return self._connect(Box(_MINUS, "operation", name), node, [(sources[0][0], "")])
        signed = [f"{'+' if s == '+' else _MINUS} {v:g}" for s, v in numbers]
        label = " ".join(signed) or "+"
        if len(sources) == 1 and numbers and sources[0][1]:
            label, sources = f"{numbers[0][1]:g} {_MINUS}", [(sources[0][0], "")]
        return self._connect(Box(label, "operation", name), node, sources)

    def _terms(
        self, node: Node, sign: str, terms: list[tuple[str, Node]], *, top: bool = False
    ) -> None:
        opposite = {"+": "-", "-": "+"}[sign]
        if (not top and node in self.equations.names) or node.op not in {"add", "sub", "neg"}:
            terms.append((sign, node))
        elif node.op == "neg":
            self._terms(node.args[0], opposite, terms)
        else:
            self._terms(node.args[0], sign, terms)
            self._terms(node.args[1], opposite if node.op == "sub" else sign, terms)

    def _matrix(self, gate: str, parts: list[Node], name: str) -> int:
        """The box of a gate's matrix products, with arrows from what they multiply."""
        known = self.equations
        kinds = {part.value.kind for part in parts}
        key = (gate, *sorted(kinds))
        if key in self.known:
            return self.known[key]
        letter = known.letters[Symbol("input", gate)]
        sub = f"_{letter}" if letter else ""
        pieces: list[str] = []
        sources: list[tuple[int, str]] = []
        if "input" in kinds:
            pieces.append(f"W{sub} x")
            sources.append((self._input("x_t"), ""))
        if "recurrent" in kinds:
            if gate in known.second_gates and known.second is not None:
                pieces.append(f"U{sub} ·")
                sources.append((self._visit(known.second), ""))
            else:
                pieces.append(f"U{sub} h")
                sources.append((self._input(f"{known.hidden}_{{t-1}}"), ""))
        if ("input" in kinds and known.has_bias) or known.has_recurrent_bias:
            pieces.append(f"b{sub}")
        return self._connect(Box(" + ".join(pieces), "matrix", name), key, sources)
