"""A stage in words, as wide as there is room."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from seqlab.progress import Stage

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

_FRAMES, _ASCII_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "-\\|/"
_BAR, _SHORTEST_BAR = 30, 6


class Part(NamedTuple):
    """Some words of a line; those with the highest rank go first when there is no room."""

    text: str
    rank: int
    style: str = ""


def clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> clock(5), clock(75), clock(7265)
    ('0:05', '1:15', '2:01:05')
    """
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def speed(rate: float) -> str:
    """A rate with about three digits.

    >>> speed(0.0421), speed(7.25), speed(84.6), speed(123456.0)
    ('0.042', '7.2', '85', '123,456')
    """
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}" if rate >= 1 else f"{rate:.2g}"


def parts(stage: Stage, now: float) -> list[Part]:
    """What there is to say of a stage, in the order of a line."""
    found = [Part(stage.name, 0, "bold")]
    if epoch := stage.notes.get("epoch"):
        found.append(Part(f"epoch {epoch}", 4))
    if stage.done or stage.total:
        of = f"/{stage.total:,}" if stage.total else ""
        found.append(Part(f"{stage.done:,}{of} {stage.unit}", 3))
    found += [Part(f"{k} {v}", 2) for k, v in stage.notes.items() if k != "epoch"]
    if (rate := stage.rate(now)) > 0:
        found.append(Part(f"{speed(rate)} {stage.unit}/s", 5, "cyan"))
    left = stage.seconds_left(now)
    if left is not None:
        found.append(Part(f"{clock(left)} left", 1, "green"))
    else:
        found.append(Part(clock(now - stage.began), 1, "dim"))
    return found


def plain(stage: Stage, now: float) -> str:
    """A line without a terminal.

    >>> counted = Stage("encoding", 10)
    >>> counted.advance(5)
    >>> plain(counted, counted.began + 5)
    'encoding  5/10 rows  1.0 rows/s  0:05 left'
    """
    return "  ".join(part.text for part in parts(stage, now))


def finished(stage: Stage, seconds: float) -> str:
    """What a stage that is over took."""
    count = [f"{stage.done:,} {stage.unit}"] if stage.done else []
    return "  ".join([stage.name, *count, f"{seconds:.1f} s"])


class Line:
    """A stage as rich draws it: as many words as fit, and a bar in what is left.

    Args:
        stage: the stage.
        now: ``time.monotonic()``.
    """

    def __init__(self, stage: Stage, now: float) -> None:
        self.stage, self.now = stage, now

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One line of at most the width there is."""
        from rich.progress_bar import ProgressBar
        from rich.segment import Segment
        from rich.text import Text

        frames = _ASCII_FRAMES if options.ascii_only else _FRAMES
        width = options.max_width - 1
        words = _fitting(parts(self.stage, self.now), width - 2)
        fraction = self.stage.fraction(self.now)
        room = width - 2 - sum(len(part.text) + 2 for part in words)
        yield Text(frames[int(time.monotonic() * 8) % len(frames)] + " ", end="", style="cyan")
        for index, part in enumerate(words):
            if index == 1 and fraction is not None and room >= _SHORTEST_BAR:
                bar = ProgressBar(total=1.0, completed=fraction, width=min(_BAR, room))
                yield from console.render(bar, options.update_width(min(_BAR, room)))
                yield Segment("  ")
            last = index == len(words) - 1
            yield Text(part.text[: width - 2] + ("" if last else "  "), end="", style=part.style)
        yield Segment.line()


def _fitting(found: list[Part], width: int) -> list[Part]:
    """The parts that fit, in their order; the first one always stays."""

    def needed(kept: list[Part]) -> int:
        return sum(len(part.text) + 2 for part in kept) - 2

    for rank in _ranks(found):
        if needed(found) <= width:
            break
        found = [part for part in found if part.rank < rank]
    return found


def _ranks(found: list[Part]) -> Iterator[int]:
    return iter(sorted({part.rank for part in found if part.rank}, reverse=True))
