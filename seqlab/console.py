"""What a run says on standard output: metric tables, decoded samples, paths."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from seqlab import progress

WIDTH = 72
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


def number(value: float | None) -> str:
    """A metric's value for reading: four digits.

    >>> number(0.98765), number(12345.0), number(None)
    ('0.9877', '12345', '-')
    """
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.6g}"


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: drawn by rich on a terminal, aligned columns elsewhere."""
    body = [list(row) for row in rows]
    if sys.stdout.isatty():
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
    widths = [max(len(row[i]) for row in [list(header), *body]) for i in range(len(header))]
    say(title)
    for row in [list(header), *body]:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        say("  " + "  ".join(cells).rstrip())


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


def samples(title: str, rows: Iterable[tuple[Any, Any, Any, bool]]) -> None:
    """Print decoded samples: input, what was expected, what was predicted, whether it is right."""
    say(title)
    for given, expected, predicted, right in rows:
        mark = "=" if right else "x"
        say(f"  input      {shorten(given)}")
        say(f"  expected   {shorten(expected)}")
        say(f"  predicted  {shorten(predicted)}  {mark}")
        say("")
