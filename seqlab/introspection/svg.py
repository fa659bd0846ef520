"""A diagram as an SVG file that needs nothing else: boxes in layers from left to right."""

from __future__ import annotations

from html import escape
from itertools import pairwise

from seqlab.introspection.diagram import Box, Diagram

_COLUMN, _ROW, _MARGIN, _HEIGHT = 44, 64, 24, 34
_LETTER = 8.2
_SWEEPS = 4
_FILL = {"input": "#e8eef7", "matrix": "#fdf1d8", "operation": "#ffffff", "output": "#dff0e2"}

Point = tuple[float, float]


def as_svg(diagram: Diagram, title: str) -> str:
    """The picture, as the text of an SVG file.

    Args:
        diagram: boxes and arrows; arrows must not form a circle.
        title: shown above, and read out by screen readers.
    """
    chains = _Layers(diagram)
    centres, width, height = _places(diagram, chains)
    parts = [_arrow(diagram, centres, chain, label) for chain, label in chains.chains]
    parts += [_box(box, centres[index]) for index, box in enumerate(diagram.boxes)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" '
        'font-family="ui-sans-serif, sans-serif" font-size="14">\n'
        f"<title>{escape(title)}</title>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#555"/></marker></defs>\n'
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#fff"/>\n'
        f'<text x="{_MARGIN}" y="22" font-weight="600" fill="#222">{escape(title)}</text>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


class _Layers:
    """Each box's layer; a long arrow passes a point in every layer between its ends."""

    def __init__(self, diagram: Diagram) -> None:
        self.layer = _longest_paths(diagram)
        self.columns: list[list[int]] = [[] for _ in range(max(self.layer) + 1)]
        for index, layer in enumerate(self.layer):
            self.columns[layer].append(index)
        self.chains: list[tuple[list[int], str]] = []
        self.neighbours: dict[int, list[int]] = {}
        points = len(diagram.boxes)
        for start, end, label in diagram.arrows:
            chain = [start]
            for layer in range(self.layer[start] + 1, self.layer[end]):
                self.columns[layer].append(points)
                chain.append(points)
                points += 1
            chain.append(end)
            self.chains.append((chain, label))
            for one, other in pairwise(chain):
                self.neighbours.setdefault(one, []).append(other)
                self.neighbours.setdefault(other, []).append(one)
        self._untangle()

    def _untangle(self) -> None:
        """Order each layer by the mean place of the neighbours, forth and back."""
        place = {i: float(row) for column in self.columns for row, i in enumerate(column)}
        for sweep in range(_SWEEPS):
            for column in self.columns if sweep % 2 == 0 else self.columns[::-1]:
                means = {i: _mean([place[n] for n in self.neighbours.get(i, [i])]) for i in column}
                column.sort(key=means.__getitem__)
                top = -len(column) / 2
                place.update({i: top + row for row, i in enumerate(column)})


def _longest_paths(diagram: Diagram) -> list[int]:
    layer = [0] * len(diagram.boxes)
    for _ in diagram.boxes:
        for start, end, _label in diagram.arrows:
            layer[end] = max(layer[end], layer[start] + 1)
    last = max(layer)
    for index, box in enumerate(diagram.boxes):
        after = [layer[end] for start, end, _ in diagram.arrows if start == index]
        if box.kind == "input" and after:
            layer[index] = min(after) - 1
        elif box.kind == "output":
            layer[index] = last
    return layer


def _places(diagram: Diagram, chains: _Layers) -> tuple[dict[int, Point], float, float]:
    tallest = max(len(column) for column in chains.columns)
    centres: dict[int, Point] = {}
    left = float(_MARGIN)
    for column in chains.columns:
        boxes = [diagram.boxes[i] for i in column if i < len(diagram.boxes)]
        wide = max((_width(box) for box in boxes), default=0.0)
        for row, index in enumerate(column):
            offset = (tallest - len(column)) / 2 + row
            centres[index] = (left + wide / 2, 40 + _MARGIN + (offset + 0.5) * _ROW)
        left += wide + _COLUMN
    return centres, left - _COLUMN + _MARGIN, 40 + 2 * _MARGIN + tallest * _ROW


def _width(box: Box) -> float:
    return max(_HEIGHT, _LETTER * len(_shown(box.label)) + 16)


def _shown(label: str) -> str:
    return label.replace("_{t-1}", "₋₁").replace("_t", "")


def _box(box: Box, centre: Point) -> str:
    x, y = centre
    width = _width(box)
    round_ = _HEIGHT / 2 if box.kind != "matrix" else 5
    caption = ""
    if box.name:
        caption = (
            f'<text x="{x:.1f}" y="{y + _HEIGHT / 2 + 13:.1f}" text-anchor="middle" '
            f'font-size="12" font-style="italic" fill="#225">{escape(_subscript(box.name))}</text>'
        )
    return (
        f'<rect x="{x - width / 2:.1f}" y="{y - _HEIGHT / 2:.1f}" width="{width:.1f}" '
        f'height="{_HEIGHT}" rx="{round_}" fill="{_FILL[box.kind]}" stroke="#555"/>'
        f'<text x="{x:.1f}" y="{y + 5:.1f}" text-anchor="middle" fill="#111">'
        f"{escape(_subscript(box.label))}</text>{caption}"
    )


def _subscript(label: str) -> str:
    return label.replace("_{t-1}", "ₜ₋₁").replace("_t", "ₜ")


def _arrow(diagram: Diagram, centres: dict[int, Point], chain: list[int], label: str) -> str:
    start, end = chain[0], chain[-1]
    points = [centres[index] for index in chain]
    points[0] = (points[0][0] + _width(diagram.boxes[start]) / 2, points[0][1])
    points[-1] = (points[-1][0] - _width(diagram.boxes[end]) / 2, points[-1][1])
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (x0 + x1) / 2
        path += f" C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
    x, y = points[-1]
    sign = (
        f'<text x="{x - 12:.1f}" y="{y - 6:.1f}" fill="#a33">{escape(label)}</text>'
        if label
        else ""
    )
    return f'<path d="{path}" fill="none" stroke="#777" marker-end="url(#tip)"/>{sign}'


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
