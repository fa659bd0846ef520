"""What long work is doing: named stages with counts, for whoever shows them.

Work says where it is and never how that looks. Nothing is shown unless a watcher is there, which
``seqlab.progress_display.shown`` brings for the command line.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Protocol


class Stage:
    """One piece of work while it lasts.

    Args:
        name: what is done, as people read it.
        total: how much there is to do; None: nobody knows yet.
        unit: what is counted.
        seconds: how long it may take at most; None: no limit.
        summary: whether a line may tell at its end what it took.
        lines: whether lines may tell of it where there is no terminal.
    """

    def __init__(
        self,
        name: str,
        total: int | None = None,
        *,
        unit: str = "rows",
        seconds: float | None = None,
        summary: bool = True,
        lines: bool = True,
    ) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.summary, self.lines = summary, lines
        self.seconds = seconds
        self.done = 0
        self.notes: dict[str, str] = {}
        self.began = time.monotonic()
        #: when counting began, and from where: a resumed run does not begin at 0
        self.counting_since, self.counting_from = self.began, 0

    def start_counting(self, done: int = 0) -> None:
        """Measure speed and time left from now on, with so much done already."""
        self.done = self.counting_from = done
        self.counting_since = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """So much more is done."""
        self.done += count

    def rate(self, now: float) -> float:
        """How much is done in a second; 0 before anything is."""
        passed = now - self.counting_since
        return (self.done - self.counting_from) / passed if passed > 0 else 0.0

    def fraction(self, now: float) -> float | None:
        """How much of the whole is done, by count or by time; None where nobody knows."""
        by_count = self.done / self.total if self.total else None
        by_time = (now - self.counting_since) / self.seconds if self.seconds else None
        known = [share for share in (by_count, by_time) if share is not None]
        return min(1.0, max(known)) if known else None

    def seconds_left(self, now: float) -> float | None:
        """The time to the end at the present speed; None where nobody knows."""
        known = []
        if self.total and (rate := self.rate(now)) > 0:
            known.append((self.total - self.done) / rate)
        if self.seconds is not None:
            known.append(self.seconds - (now - self.counting_since))
        return max(0.0, min(known)) if known else None


class Watcher(Protocol):
    """Whoever shows stages."""

    def begun(self, stage: Stage) -> None:
        """A stage began, inside those that are already there."""

    def ended(self, stage: Stage) -> None:
        """A stage ended, by success or not."""

    def spoken(self) -> None:
        """Something else was printed, so that somebody waiting has heard of the program."""


_watchers: list[Watcher] = []
_stages: list[Stage] = []


@contextlib.contextmanager
def stage(
    name: str,
    total: int | None = None,
    *,
    unit: str = "rows",
    seconds: float | None = None,
    summary: bool = True,
    lines: bool = True,
) -> Iterator[Stage]:
    """Say what the block does; see ``Stage`` for the arguments.

    >>> with stage("encoding", 3) as encoding:
    ...     for row in "abc":
    ...         encoding.advance()
    >>> encoding.done
    3
    """
    new = Stage(name, total, unit=unit, seconds=seconds, summary=summary, lines=lines)
    with during(new):
        yield new


@contextlib.contextmanager
def during(new: Stage) -> Iterator[Stage]:
    """Say that the block is this stage."""
    watchers = list(_watchers)
    _stages.append(new)
    for watcher in watchers:
        watcher.begun(new)
    try:
        yield new
    finally:
        _stages.remove(new)
        for watcher in watchers:
            watcher.ended(new)


def advance(count: int) -> None:
    """So much more is done of the innermost stage, if there is one.

    >>> with stage("reading") as reading:
    ...     advance(2)
    >>> reading.done
    2
    """
    if _stages:
        _stages[-1].advance(count)


def inside(outer: Stage) -> list[Stage]:
    """The stages that are now part of another, outermost first.

    >>> with stage("comparing") as outer, stage("training"):
    ...     [inner.name for inner in inside(outer)]
    ['training']
    """
    return _stages[_stages.index(outer) + 1 :] if outer in _stages else []


def spoken() -> None:
    """Tell that a line was printed."""
    for watcher in _watchers:
        watcher.spoken()


def is_watched() -> bool:
    """Whether anybody shows stages: what only they need can be left out otherwise."""
    return bool(_watchers)


@contextlib.contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Tell this watcher, and no other, of the stages in the block."""
    before = _watchers[:]
    _watchers[:] = [watcher]
    try:
        yield
    finally:
        _watchers[:] = before


@contextlib.contextmanager
def muted(when: bool = True) -> Iterator[None]:
    """Show nothing of the stages in the block."""
    before = _watchers[:]
    if when:
        _watchers.clear()
    try:
        yield
    finally:
        _watchers[:] = before
