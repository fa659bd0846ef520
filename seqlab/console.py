"""What a run says on standard output: metric tables, decoded samples, paths."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from seqlab import progress

WIDTH = 72
#: Prose is not broken into lines shorter than this.
_NARROWEST = 20
_silent: ContextVar[bool] = ContextVar("silent", default=False)


def is_primary() -> bool:
    """Whether this process is the one of a distributed run that speaks and writes."""
    return all(
        os.environ.get(name, "0") in ("", "0") for name in ("RANK", "LOCAL_RANK", "NODE_RANK")
    )


@contextlib.contextmanager
def silent(when: bool = True) -> Iterator[None]:
    """Print nothing in the block; other threads print as before.

    >>> with silent():
    ...     say("nobody hears this")
    """
    token = _silent.set(when or _silent.get())
    try:
        yield
    finally:
        _silent.reset(token)


def say(text: str) -> None:
    """Print a line at once."""
    if _silent.get():
        return
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    progress.spoken()


def paragraph(text: str) -> None:
    """Print prose: broken between words on a terminal, a single line elsewhere."""
    if not sys.stdout.isatty():
        say(text)
        return
    width = max(_NARROWEST, shutil.get_terminal_size().columns)
    say(textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False))


def number(value: float | None) -> str:
    """A metric's value for reading: four digits.

    >>> number(0.98765), number(12345.0), number(None)
    ('0.9877', '12345', '-')
    """
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.6g}"


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: drawn by rich on a terminal, aligned columns elsewhere.

    Where the terminal has no room for all columns, each row is a few lines, a name and a value
    each: nothing is cut off.
    """
    body = [list(row) for row in rows]
    widths = [max(len(row[i]) for row in [list(header), *body]) for i in range(len(header))]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if room is not None and sum(widths) + 3 * len(widths) + 1 <= room:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        drawn = Table(title=title, title_justify="left")
        for index, name in enumerate(header):
            drawn.add_column(name, justify="left" if index == 0 else "right")
        for row in body:
            drawn.add_row(*(Text(cell) for cell in row))
        Console().print(drawn)
        return
    say(title)
    if room is not None and sum(widths) + 2 * len(widths) > room:
        _records(header, body)
        return
    for row in [list(header), *body]:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        say("  " + "  ".join(cells).rstrip())


def _records(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A row after the other, its first cell above the names and values of those that have one."""
    width = max(map(len, header[1:]), default=0)
    for row in rows:
        say(f"  {row[0]}")
        for name, cell in zip(header[1:], row[1:], strict=True):
            if cell != number(None):
                say(f"    {name.ljust(width)}  {cell}")


def metric_table(
    title: str, columns: Mapping[str, Mapping[str, float]], first: str = "metric"
) -> None:
    """Print metrics (rows) of several splits or models (columns)."""
    names = list(dict.fromkeys(name for values in columns.values() for name in values))
    rows = [[name, *(number(values.get(name)) for values in columns.values())] for name in names]
    table(title, [first, *columns], rows)


def shorten(value: Any) -> str:
    """A value on one line of at most 72 characters.

    >>> shorten(["a", "b"]), shorten("x" * 100)[-4:]
    ('a b', 'xxx…')
    """
    if isinstance(value, str):
        text = value
    elif isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
        text = " ".join(value)
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def samples(
    title: str, rows: Sequence[tuple[Any, Any, Any, bool]], targets: Sequence[str] = ()
) -> None:
    """Print decoded samples: input, what was expected, what was predicted, whether it is right.

    Args:
        title: above them.
        rows: input, what was expected, what was predicted, whether that is right.
        targets: the name of what was predicted in each row, where that differs.
    """
    say(title)
    for index, (given, expected, predicted, right) in enumerate(rows):
        mark = "=" if right else "x"
        say(f"  input      {shorten(given)}")
        if targets:
            say(f"  target     {targets[index]}")
        say(f"  expected   {shorten(expected)}")
        say(f"  predicted  {shorten(predicted)}  {mark}")
        say("")
