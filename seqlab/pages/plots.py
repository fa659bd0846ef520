"""What a plot shows: its numbers and names. How it is drawn is in ``drawing``.

Each is drawn, and read as a table by those who cannot see it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Number = float | int
#: x and y; with lower and upper bounds of y, or without.
Point = tuple[Number, Number] | tuple[Number, Number, Number, Number]
Rows = list[list[str | Number | None]]

#: The most rows of a plot's table.
_ROWS = 40


@dataclass(frozen=True)
class Lines:
    """Curves over one axis.

    Args:
        series: a name to its points, with bounds ``(x, y, low, high)`` or without.
        x: what the horizontal axis shows, with its unit.
        y: what the vertical axis shows.
        log_x, log_y: logarithmic axes; points at or below 0 are then left out.
        marks: vertical lines, by what they mean.
        dashed: names of series that are drawn dashed: a theory, a baseline.
    """

    series: Mapping[str, Sequence[Point]]
    x: str = ""
    y: str = ""
    log_x: bool = False
    log_y: bool = False
    marks: Mapping[str, float] = field(default_factory=dict)
    dashed: Sequence[str] = ()

    def table(self) -> tuple[list[str], Rows]:
        """Header and rows: the value of each series at each x, thinned out."""
        values = [{p[0]: p[1] for p in points} for points in self.series.values()]
        places = sorted({x for each in values for x in each})
        step = max(1, math.ceil(len(places) / _ROWS))
        rows: Rows = [[x, *(each.get(x) for each in values)] for x in places[::step]]
        return [self.x or "x", *self.series], rows


@dataclass(frozen=True)
class Heatmap:
    """A matrix as colours.

    Args:
        values: rows of numbers, the first row on top.
        rows, columns: names along the sides; without them they are numbered.
        x, y: what the axes show.
        value: what the colour shows.
        bounds: the numbers of the first and the last colour; None: the smallest and largest.
        diverging: two hues that meet in the middle of the bounds, for values around zero.
        show_values: write the numbers into the cells.
    """

    values: Sequence[Sequence[Number]]
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    x: str = ""
    y: str = ""
    value: str = ""
    bounds: tuple[float, float] | None = None
    diverging: bool = False
    show_values: bool = False

    def table(self) -> tuple[list[str], Rows]:
        """Header and rows, as far as a page can hold them."""
        width = min(_ROWS, len(self.values[0]) if self.values else 0)
        names = [str(name) for name in (self.columns or range(width))][:width]
        rows = self.rows or range(len(self.values))
        return [self.y or "row", *names], [
            [str(name), *row[:width]] for name, row in zip(rows, self.values[:_ROWS], strict=False)
        ]


@dataclass(frozen=True)
class Bars:
    """A number for each name, or several side by side.

    Args:
        names: along the axis.
        series: what the bars show, to one number a name.
        y: what the axis shows.
        stacked: on top of each other rather than side by side.
    """

    names: Sequence[str]
    series: Mapping[str, Sequence[Number]]
    y: str = ""
    stacked: bool = False

    def table(self) -> tuple[list[str], Rows]:
        """Header and rows."""
        columns = [list(values) for values in self.series.values()]
        rows: Rows = [[name, *row] for name, *row in zip(self.names, *columns, strict=True)]
        return ["", *self.series], rows[:_ROWS]


@dataclass(frozen=True)
class Intervals:
    """A value with its interval for each name, below each other.

    Args:
        rows: ``(name, value, low, high)`` each.
        x: what the axis shows.
        zero: a vertical line at 0, for differences.
    """

    rows: Sequence[tuple[str, Number, Number, Number]]
    x: str = ""
    zero: bool = False

    def table(self) -> tuple[list[str], Rows]:
        """Header and rows."""
        return ["", self.x or "value", "low", "high"], [list(row) for row in self.rows]


@dataclass(frozen=True)
class Points:
    """Points in the plane.

    Args:
        series: a name to its ``(x, y)``.
        x, y: what the axes show.
        labels: a name to one word a point.
        joined: whether a line goes through them in turn.
        diagonal: a dashed line where both are equal.
        log_x, log_y: logarithmic axes.
    """

    series: Mapping[str, Sequence[tuple[Number, Number]]]
    x: str = ""
    y: str = ""
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    joined: bool = False
    diagonal: bool = False
    log_x: bool = False
    log_y: bool = False

    def table(self) -> tuple[list[str], Rows]:
        """Header and rows."""
        rows: Rows = []
        for name, points in self.series.items():
            words = self.labels.get(name) or [""] * len(points)
            rows += [[name, word, *p] for word, p in zip(words, points, strict=True)]
        return ["", "", self.x or "x", self.y or "y"], rows[:_ROWS]


Plot = Lines | Heatmap | Bars | Intervals | Points
