"""A cell's equations as a graph of operations, and that graph as text and as Mermaid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from seqlab.expressions import Node
from seqlab.introspection.equations import Equations, is_affine, is_sum

_SIGNS = {"mul": "⊙", "div": "/", "pow": "^", "lt": "<", "le": "≤", "gt": ">", "ge": "≥",
          "eq": "=", "ne": "≠", "where": "where"}  # fmt: skip
_FUNCTIONS = {"sigmoid": "\N{GREEK SMALL LETTER SIGMA}"}
_MINUS = "\N{MINUS SIGN}"
_MARKS = {"+": "", "-": _MINUS}


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
    >>> from seqlab.introspection.naming import equations_of
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
        self.known: dict[object, int] = {}

    def draw(self) -> Diagram:
        """All equations, then the outputs."""
        drawn = {equation.name: self._visit(equation.node) for equation in self.equations.equations}
        fields = [letter for symbol, letter in self.equations.letters.items()
                  if symbol.kind == "state"]  # fmt: skip
        for name in ("y_t", *(f"{letter}_t" for letter in fields)):
            if name in drawn:
                self._connect(Box(name, "output"), None, [(drawn[name], "")])
        return self.diagram

    def _connect(self, box: Box, key: object, sources: list[tuple[int, str]]) -> int:
        """The box of a key, made with its arrows where it is new; no key is always new."""
        if key is not None and key in self.known:
            return self.known[key]
        index = len(self.diagram.boxes)
        self.diagram.boxes.append(box)
        if key is not None:
            self.known[key] = index
        self.diagram.arrows += [(start, index, label) for start, label in sources]
        return index

    def _input(self, label: str) -> int:
        return self._connect(Box(label, "input"), label, [])

    def _visit(self, node: Node) -> int:
        if node in self.known:
            return self.known[node]
        name = self.equations.names.get(node, "")
        if is_affine(node):
            return self._matrix([node], name)
        if is_sum(node):
            return self._sum(node, name)
        if node.op == "symbol":
            return self._input(self.equations.letter(node.value))
        if node.op == "number":
            return self._input(f"{node.value:g}")
        return self._operation(node, name)

    def _operation(self, node: Node, name: str) -> int:
        """A box for a product, a function or an operator; it shows the number it is used with."""
        rest = list(node.args)
        if node.op == "product":
            label = f"{self.equations.letter(rest.pop(0).value)} ·"
        elif node.op == "call":
            label = _FUNCTIONS.get(node.value, node.value)
        else:
            label = _SIGNS[node.op]
            numbers = [a for a in rest if a.op == "number"]
            if node.op in {"mul", "div", "pow"} and len(numbers) == 1:
                label = f"{label} {numbers[0].value:g}"
                rest.remove(numbers[0])
        kind = "matrix" if node.op == "product" else "operation"
        return self._connect(Box(label, kind, name), node, [(self._visit(a), "") for a in rest])

    def _sum(self, node: Node, name: str) -> int:
        """A box for a sum; a gate's parts of matrix products without names share a box."""
        numbers: list[float] = []
        grouped: dict[tuple[str, object], list[Node]] = {}
        others: list[tuple[str, Node]] = []
        for sign, part in self.equations.terms(node):
            if part.op == "number":
                numbers.append(part.value if sign == "+" else -part.value)
            elif is_affine(part) and part not in self.equations.names:
                grouped.setdefault((sign, part.value.name), []).append(part)
            else:
                others.append((sign, part))
        number = sum(numbers)
        sources = [(self._matrix(parts, ""), _MARKS[sign]) for (sign, _), parts in grouped.items()]
        sources += [(self._visit(part), _MARKS[sign]) for sign, part in others]
        label = f"{'+' if number >= 0 else _MINUS} {abs(number):g}" if numbers else "+"
        if len(sources) == 1:
            (source, mark), *_ = sources
            if not (numbers or mark or name):
                self.known[node] = source
                return source
            if mark:  # minus the value, or a number minus the value
                label = f"{number:g} {_MINUS}".replace("-", _MINUS) if numbers else _MINUS
                sources = [(source, "")]
        return self._connect(Box(label, "operation", name), node, sources)

    def _matrix(self, parts: list[Node], name: str) -> int:
        """The box of a gate's matrix products, with arrows from what they multiply."""
        products = [self.equations.affine(part.value) for part in parts]
        pieces: list[str] = []
        sources: list[tuple[int, str]] = []
        for matrix, vector, _ in products:
            if isinstance(vector, Node):
                pieces.append(f"{matrix} ·")
                sources.append((self._visit(vector), ""))
            else:
                pieces.append(f"{matrix} {vector.partition('_')[0]}")
                sources.append((self._input(vector), ""))
        pieces += [bias for _, _, bias in products if bias]
        return self._connect(Box(" + ".join(pieces), "matrix", name), tuple(parts), sources)
