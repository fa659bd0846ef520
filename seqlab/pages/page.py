"""One page as one file: text, tables that can be sorted, and plots."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from seqlab.files import atomic_writer
from seqlab.pages.drawing import as_svg, can_draw
from seqlab.pages.plots import Plot

#: Nothing leaves the page, whatever stands in it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_NO_PLOTS = "The plots of this page need matplotlib: `pip install 'seqlab[report]'`."
#: A cell longer than this is broken into lines.
_LONG = 28
#: Stands for a backquote that marks no code: of Unicode's letters for private use.
_BACKQUOTE = "\ue060"
#: Fewer rows need no sorting.
_SORTED_FROM = 3


class Page:
    """A page that is built from top to bottom.

    Texts are plain; what stands between two backquotes is shown as code. Without matplotlib the
    plots are left out, their numbers stay.

    Args:
        title: of the page.
        lead: what the page says, in a sentence.
    """

    def __init__(self, title: str, lead: str = "") -> None:
        self.title = title
        self._parts = [f"<h1>{inline(title)}</h1>"]
        self._plots = 0
        self._figures: list[str] = []
        if lead:
            self._add(f'<p class="lead">{inline(lead)}</p>')

    def _add(self, part: str) -> None:
        self._close_figures()
        self._parts.append(part)

    def _close_figures(self) -> None:
        """Figures that follow each other stand side by side where there is room."""
        if self._figures:
            self._parts.append('<div class="figures">\n' + "\n".join(self._figures) + "\n</div>")
            self._figures = []

    def section(self, title: str, text: str = "") -> None:
        """A heading, with a text below it."""
        self._add(f"<h2>{inline(title)}</h2>")
        self.text(text)

    def subsection(self, title: str, text: str = "") -> None:
        """A smaller heading, with a text below it."""
        self._add(f"<h3>{inline(title)}</h3>")
        self.text(text)

    def text(self, text: str) -> None:
        """A paragraph, or several with empty lines between."""
        for paragraph in filter(None, text.split("\n\n")):
            self._add(f"<p>{inline(paragraph)}</p>")

    def items(self, texts: Iterable[str]) -> None:
        """A list."""
        self._add("<ul>" + "".join(f"<li>{inline(text)}</li>" for text in texts) + "</ul>")

    def table(
        self, header: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = ""
    ) -> None:
        """A table; numbers are written with four digits, None as a dash."""
        self._add(table(header, rows, caption))

    def figure(self, plot: Plot, title: str, caption: str = "") -> None:
        """A plot with its title, what is to be seen in it, and its numbers as a table.

        Args:
            plot: what is drawn.
            title: what it shows, in a few words.
            caption: what a reader should see in it.
        """
        drawn = ""
        if can_draw():
            self._plots += 1
            drawn = as_svg(plot, title, self._plots)
        numbers = table(*plot.table(), f"{title}: numbers")
        self._figures.append(
            f"<figure>\n<figcaption><strong>{inline(title)}.</strong> {inline(caption)}"
            f"</figcaption>\n{drawn}\n<details{'' if drawn else ' open'}><summary>Numbers of: "
            f"{inline(title)}</summary>\n{numbers}</details>\n</figure>"
        )

    def html(self) -> str:
        """The whole page."""
        self._close_figures()
        parts = list(self._parts)
        if not can_draw():
            parts.insert(1, f"<p>{inline(_NO_PLOTS)}</p>")
        body = "\n".join(parts)
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>\n{_asset('page.css')}</style>\n"
            f"</head>\n<body>\n<main>\n{body}\n</main>\n"
            f"<footer>Written by seqlab. This page is one file and asks no network.</footer>\n"
            f"<script>\n{_asset('sort.js')}</script>\n</body>\n</html>\n"
        )

    def write(self, path: str | Path) -> Path:
        """Write the page; it appears whole or not at all."""
        with atomic_writer(Path(path)) as stream:
            # a file name may hold half a surrogate pair
            stream.write(self.html().encode(errors="xmlcharrefreplace"))
        return Path(path)


def plain(text: str) -> str:
    """A text of somebody else, whose backquotes are no marks of code.

    >>> inline(plain("a `b`")), inline(as_code("a `b"))
    ('a &#96;b&#96;', '<code>a &#96;b</code>')
    """
    return text.replace("`", _BACKQUOTE)


def as_code(text: str) -> str:
    """A text of somebody else as code."""
    return f"`{plain(text)}`" if text else "(empty)"


def inline(text: str) -> str:
    """A text as HTML, with code between backquotes; powers of ten stay on one line.

    >>> inline("use `a<b` & go"), inline("1.5e-12 is left")
    ('use <code>a&lt;b</code> &amp; go', '<span class="whole">1.5e-12</span> is left')
    """

    def marked(found: re.Match[str]) -> str:
        code, power = found.groups()
        return f"<code>{code}</code>" if code else f'<span class="whole">{power}</span>'

    found = re.sub(r"`([^`]+)`|\b(\d[\d.]*e-\d+)\b", marked, html.escape(text))
    return found.replace(_BACKQUOTE, "&#96;")


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> str:
    """A table as HTML, in a frame of its own that scrolls on narrow screens."""
    body = [list(row) for row in rows]
    numeric = [
        any(_is_number(row[i]) for row in body)
        and all(_is_number(row[i]) or row[i] is None for row in body)
        for i in range(len(header))
    ]
    heads = "".join(
        f'<th scope="col"{_class("number" if right else "")}>{inline(name)}</th>'
        for name, right in zip(header, numeric, strict=True)
    )
    lines = "\n".join("<tr>" + "".join(map(_cell, row, numeric)) + "</tr>" for row in body)
    title = f"<caption>{inline(caption)}</caption>" if caption else ""
    kind = ' class="sortable"' if len(body) >= _SORTED_FROM else ""
    label = html.escape(caption or ", ".join(header))
    name = f' aria-label="{label}"'
    return (
        f'<div class="scroll" role="region" tabindex="0"{name}>'
        f"<table{kind}{'' if caption else name}>{title}\n<thead><tr>{heads}</tr></thead>\n"
        f"<tbody>\n{lines}\n</tbody></table></div>"
    )


def _cell(value: Any, right: bool) -> str:
    text = written(value)
    name = "number" if right else "long" if len(text) > _LONG else ""
    data = f' data-value="{value!r}"' if _is_number(value) else ""
    shown = text if _is_number(value) else inline(text)
    return f"<td{_class(name)}{data}>{_breakable(shown) if name == 'long' else shown}</td>"


def _breakable(markup: str) -> str:
    """Long keys and paths break after their signs rather than inside a word.

    >>> _breakable("a.b_c <code>x/y</code>")
    'a.<wbr>b_<wbr>c <code>x/<wbr>y</code>'
    """
    return re.sub(r"(?<=[\w)])([._/|=-])(?=\w)(?![^<]*>)", r"\1<wbr>", markup)


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def written(value: Any) -> str:
    """A value for reading.

    >>> written(1234567), written(0.123456), written(1.5e-7), written(None), written(12345.6)
    ('1,234,567', '0.1235', '1.5e-07', '-', '12,346')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if isinstance(value, bool) or not _is_number(value):
        return str(value)
    if isinstance(value, int) or 1e4 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _asset(name: str) -> str:
    return files("seqlab.pages").joinpath(name).read_text("utf-8")
