"""Plots drawn by matplotlib (extra ``report``): as SVG inside a page, as PNG for loggers.

In a page, colours are variables of its style sheet, so that one drawing serves light, dark and
paper; text stays text.
"""

from __future__ import annotations

import html
import importlib.util
import io
import logging
import math
import re
import warnings
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from seqlab.pages.plots import Bars, Heatmap, Intervals, Lines, Plot, Points

#: What a colour is called in the style sheet; the numbers serve where there is no sheet.
INK, SOFT, GRID, PAPER = "#202428", "#5c666f", "#d8dee4", "#fefefe"
#: Colours that people with colour blindness tell apart (Okabe and Ito, 2008; yellow left out).
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f5fc7", "#8c6d46")
_VARIABLES = {
    INK: "--ink", SOFT: "--soft", GRID: "--grid", PAPER: "--paper",
    **{colour: f"--series-{i}" for i, colour in enumerate(SERIES)},
}  # fmt: skip
#: Beside colour, a shape tells series apart, on paper too.
_DASHES = ((None, None), (5, 1.5), (1.5, 1.5), (6, 1.5, 1.5, 1.5))
_MARKERS = "osD^vP"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
#: Inches; narrow, so that the text is readable on a phone.
_SIZE = (4.1, 2.6)
_STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "seqlab", "text.parse_math": False,
    "font.family": "DejaVu Sans", "font.size": 8.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "axes.edgecolor": SOFT, "axes.labelcolor": INK, "axes.facecolor": "none",
    "figure.facecolor": "none", "grid.color": GRID, "grid.linewidth": 0.6,
    "text.color": INK, "xtick.color": SOFT, "ytick.color": SOFT,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "lines.linewidth": 1.6,
    "legend.frameon": False, "legend.fontsize": 8, "axes.axisbelow": True,
}  # fmt: skip
#: A row of words longer than this is turned.
_TURNED = 38
_NAMED = 60
#: Letters of names, with their lines, that fit side by side above the axes.
_LEGEND = 48
#: Curves nearer than this, in parts of the axis, are one to the eye; the lower one is then wider.
_SAME, _WIDER = 0.005, 1.6


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def as_svg(plot: Plot, title: str, number: int) -> str:
    """A plot as an ``<svg>`` element.

    Args:
        plot: what is drawn.
        title: its name for those who cannot see it.
        number: of the plot in its page, for the names of its parts.
    """
    text = _save(plot, "svg").decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(#|href=\"#)([^\")]+)", text))
    text = re.sub(
        r' id="([^"]+)"',
        lambda m: f' id="plot{number}-{m[1]}"' if m[1] in used else "",
        text,
    )
    text = re.sub(r"(url\(#|href=\"#)", rf"\g<1>plot{number}-", text)
    for colour, name in _VARIABLES.items():
        text = text.replace(colour, f"var({name})")
    text = re.sub(r"font-family: 'DejaVu Sans'[^;\"]*;? ?", "", text)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)  # the view box scales it
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(title)}"', 1)


def as_file(plot: Plot, title: str) -> str:
    """A plot as an SVG file of its own, with the colours of the style sheet, light and dark."""
    sheet = files("seqlab.pages").joinpath("page.css").read_text("utf-8")
    colours = sheet[: sheet.index("* {")]
    drawn = as_svg(plot, title, 1)
    head, rest = drawn.split(">", 1)
    style = f"<style>{colours}text {{ font-family: system-ui, sans-serif; }}</style>"
    paper = '<rect width="100%" height="100%" fill="var(--paper)"/>'
    return f"{head}>\n{style}\n{paper}{rest}\n"


def as_png(plot: Plot, title: str = "", *, dpi: int = 150) -> bytes:
    """A plot as a PNG on white, with its title."""
    return _save(plot, "png", title=title, dpi=dpi)


def _save(plot: Plot, form: str, *, title: str = "", dpi: int = 150) -> bytes:
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: Any = {**_STYLE, **({} if form == "svg" else {"figure.facecolor": "white"})}
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters the font has not: the reader's font has them
        figure = Figure(figsize=_size(plot), layout="constrained")
        axes = figure.subplots()
        _DRAW[type(plot)](axes, plot)
        if title:
            axes.set_title(title)
        stream = io.BytesIO()
        extra = {"metadata": {"Date": None, "Creator": None}} if form == "svg" else {"dpi": dpi}
        figure.savefig(stream, format=form, **extra)
    return stream.getvalue()


def _size(plot: Plot) -> tuple[float, float]:
    width, height = _SIZE
    if isinstance(plot, Intervals):
        return width, 0.8 + 0.27 * len(plot.rows)
    if isinstance(plot, Heatmap) and plot.rows:
        return width, min(7.0, max(1.6, 1.0 + 0.17 * len(plot.values)))
    return width, height


def _lines(axes: Any, plot: Lines) -> None:
    for index, (name, points) in enumerate(plot.series.items()):
        kept = [point for point in points if _stands(plot, point)]
        colour = SERIES[index % len(SERIES)]
        xs, ys = [p[0] for p in kept], [p[1] for p in kept]
        dashes = (2, 2) if name in plot.dashed else _DASHES[index // len(SERIES) % len(_DASHES)]
        (line,) = axes.plot(xs, ys, color=colour, label=name)
        if dashes != (None, None):
            line.set_dashes(dashes)
        if len(kept) <= 12:
            line.set_marker(_MARKERS[index % len(_MARKERS)])
            line.set_markersize(3.5)
        bounds = [p for p in kept if len(p) == 4]
        if bounds:
            low, high = [p[2] for p in bounds], [p[3] for p in bounds]
            axes.fill_between(
                [p[0] for p in bounds], low, high, color=colour, alpha=0.18, linewidth=0
            )
    _widen_covered(axes, plot)
    for text, place in plot.marks.items() if axes.get_lines() else ():
        axes.axvline(place, color=SOFT, linewidth=0.9, linestyle=":")
        axes.annotate(
            text, (place, 1), xycoords=("data", "axes fraction"), xytext=(3, -9),
            textcoords="offset points", color=SOFT, fontsize=7.5,
        )  # fmt: skip
    _finish(axes, plot, legend=len(plot.series) > 1)


def _widen_covered(axes: Any, plot: Lines) -> None:
    """Let a curve be seen on both sides of those that lie on it."""
    lines = axes.get_lines()
    drawn = [
        {x: math.log(y) if plot.log_y else y
         for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)}
        for line in lines
    ]  # fmt: skip
    heights = [y for curve in drawn for y in curve.values()]
    near = _SAME * (max(heights, default=0) - min(heights, default=0))
    for index, (line, curve) in enumerate(zip(lines, drawn, strict=True)):
        covers = sum(_covers(other, curve, near) for other in drawn[index + 1 :])
        line.set_linewidth(line.get_linewidth() + _WIDER * min(covers, 3))
        line.set_markersize(line.get_markersize() + _WIDER * min(covers, 3))


def _covers(upper: Mapping[float, float], lower: Mapping[float, float], near: float) -> bool:
    """Whether nearly all points of a curve lie under another's."""
    shared = [abs(upper[x] - y) <= near for x, y in lower.items() if x in upper]
    return 5 * sum(shared) > 4 * len(lower)


def _stands(plot: Lines | Points, point: Any) -> bool:
    """Whether a point has a place on the axes."""
    x, y = point[:2]
    return (x > 0 or not plot.log_x) and (y > 0 or not plot.log_y) and math.isfinite(y)


def _heatmap(axes: Any, plot: Heatmap) -> None:
    low, high = plot.bounds or (None, None)
    if plot.diverging and plot.bounds is None:
        high = max((abs(v) for row in plot.values for v in row), default=1.0) or 1.0
        low = -high
    image = axes.imshow(
        plot.values, aspect="auto", interpolation="nearest", vmin=low, vmax=high,
        cmap="RdBu_r" if plot.diverging else "viridis",
    )  # fmt: skip
    axes.grid(visible=False)
    _names(axes.xaxis, plot.columns)
    _names(axes.yaxis, plot.rows)
    if plot.show_values:
        middle = (image.norm.vmin + image.norm.vmax) / 2
        for i, row in enumerate(plot.values):
            for j, value in enumerate(row):
                # light colours stand high in viridis
                colour = "#000000" if value > middle else "#ffffff"
                axes.text(j, i, f"{value:.3g}", ha="center", va="center", color=colour, fontsize=7)
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label(plot.value)
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)


def _names(axis: Any, names: Any) -> None:
    """Words along a side; every second or third where they would not stand side by side."""
    if not names:
        axis.get_major_locator().set_params(integer=True)
        return
    step = -(-len(names) // _NAMED)
    words = [_cut(str(name), 18) for name in names][::step]
    axis.set_ticks(range(0, len(names), step), words)
    if axis.axis_name == "x" and sum(len(word) + 1 for word in words) > _TURNED:
        for label in axis.get_ticklabels():
            label.set(rotation=90, ha="center", fontsize=7 if len(words) < 30 else 5.5)


def _cut(name: str, most: int) -> str:
    """A name as far as there is room; what is cut off is seen to be.

    >>> _cut("encoder.cell.hidden_size", 12), _cut("cell", 12)
    ('encoder.cel…', 'cell')
    """
    return name if len(name) <= most else name[: most - 1] + "…"


def _bars(axes: Any, plot: Bars) -> None:
    count, base = len(plot.series), [0.0] * len(plot.names)
    width = 0.8 / (1 if plot.stacked else max(count, 1))
    for index, (name, values) in enumerate(plot.series.items()):
        places = [i + (0 if plot.stacked else width * (index - (count - 1) / 2))
                  for i in range(len(plot.names))]  # fmt: skip
        bottom = base if plot.stacked else None
        axes.bar(
            places, values, width, bottom=bottom, label=name, color=SERIES[index % len(SERIES)]
        )
        base = [b + v for b, v in zip(base, values, strict=True)]
    axes.grid(visible=False, axis="x")
    if len(plot.names) < 3:  # not a wall of colour
        axes.set_xlim(-1, len(plot.names))
    _names(axes.xaxis, plot.names)
    axes.set_ylabel(plot.y)
    _legend(axes, shown=count > 1)


def _intervals(axes: Any, plot: Intervals) -> None:
    for index, (_, value, low, high) in enumerate(plot.rows):
        colour = SERIES[0] if plot.zero else SERIES[index % len(SERIES)]
        axes.plot([low, high], [index, index], color=colour, linewidth=2.2)
        axes.plot([value], [index], "o", color=colour, markersize=5)
    if plot.zero:
        axes.axvline(0, color=SOFT, linewidth=0.9, linestyle=":")
    axes.set_yticks(range(len(plot.rows)), [_cut(str(row[0]), 28) for row in plot.rows])
    axes.set_ylim(len(plot.rows) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(plot.x)


def _points(axes: Any, plot: Points) -> None:
    both = [value for points in plot.series.values() for point in points for value in point]
    if plot.diagonal and both:
        ends = [min(both), max(both)]
        axes.plot(ends, ends, color=SOFT, linewidth=0.9, linestyle=":")
    for index, (name, points) in enumerate(plot.series.items()):
        colour = SERIES[index % len(SERIES)]
        kept = [point for point in points if _stands(plot, point)]
        xs, ys = [p[0] for p in kept], [p[1] for p in kept]
        axes.plot(
            xs, ys, linestyle="-" if plot.joined else "none", linewidth=0.8, color=colour,
            marker=_MARKERS[index % len(_MARKERS)], markersize=4, label=name,
        )  # fmt: skip
        for point, word in zip(points, plot.labels.get(name, ()), strict=False):
            axes.annotate(
                _cut(str(word), 14), point, xytext=(3, 3), textcoords="offset points", fontsize=7
            )
    _finish(axes, plot, legend=len(plot.series) > 1)


def _finish(axes: Any, plot: Any, *, legend: bool) -> None:
    lines = [line for line in axes.get_lines() if len(line.get_xdata())]
    for axis, is_log in ((axes.xaxis, plot.log_x), (axes.yaxis, plot.log_y)):
        if is_log and lines:  # a log axis needs a point
            axis.axes.set(**{f"{axis.axis_name}scale": "log"})
            axis.set_major_formatter(_power)
            axis.set_minor_formatter(_plain if _is_narrow(axis) else "")
    xs = [x for line in lines for x in line.get_xdata()]
    if not plot.log_x and xs and all(float(x).is_integer() for x in xs):
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)
    _legend(axes, shown=legend)


def _is_narrow(axis: Any) -> bool:
    """Whether fewer than two powers of ten lie on a log axis, so that others need names too."""
    low, high = axis.get_view_interval()
    return bool(math.floor(math.log10(high)) - math.ceil(math.log10(low)) < 1)


def _plain(value: float, _: Any) -> str:
    """A number between powers of ten; two of the eight have room for their names."""
    text = f"{value:.3g}"
    return text if text.strip("0.")[:1] in "25" else ""


def _power(value: float, _: Any) -> str:
    """A power of ten in plain characters; mathematics is off, for names may hold its signs."""
    if value <= 0:  # below the least float, where a log axis may have a tick, too
        return ""
    exponent = round(math.log10(value))
    plain = -4 < exponent < 4
    return f"{value:g}" if plain else "10" + str(exponent).translate(_RAISED)


def _legend(axes: Any, *, shown: bool) -> None:
    """Above the axes, where it covers nothing."""
    if shown:
        names = axes.get_legend_handles_labels()[1]
        rows = max(1, math.ceil(sum(len(name) + 6 for name in names) / _LEGEND))
        axes.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1.0), columnspacing=1.2, handlelength=1.6,
            ncols=max(1, math.ceil(len(names) / rows)),
        )  # fmt: skip


_DRAW: dict[type, Callable[[Any, Any], None]] = {
    Lines: _lines, Heatmap: _heatmap, Bars: _bars, Intervals: _intervals, Points: _points
}  # fmt: skip
