"""How far a comparison is: runs done, and the time left for all of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from seqlab import progress
from seqlab.progress_text import clock


class Comparing(progress.Stage):
    """The stage of all runs together; what the present one has done counts as a part of it.

    Args:
        total: how many runs there are.
        name: of the stage.
    """

    def __init__(self, total: int, name: str = "comparing") -> None:
        super().__init__(name, total, unit="runs", summary=False)
        self._during = contextlib.ExitStack()
        self._found = 0

    def __enter__(self) -> Self:
        self._during.enter_context(progress.during(self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._during.__exit__(kind, error, trace)

    def one_more(self, name: str, seed: int, *, trained: bool) -> None:
        """A run has ended, or had ended before, which says nothing of how long runs take."""
        self.notes = {"last": f"{name} seed {seed}"}
        self._found += not trained
        self.advance()

    def line(self, result: Mapping[str, Any]) -> str:
        """What to say of the run that has just ended; nothing of its test."""
        name, left = result["monitor"]["name"], self.seconds_left(time.monotonic())
        value = result["validation"].get(name)
        parts = [f"{self.done}/{self.total} runs", self.notes["last"], f"{result['seconds']:.1f} s"]
        parts += [] if value is None else [f"val_{name} {value:.4g}"]
        parts += [] if not left else [f"{clock(left)} left"]
        return "  ".join(parts)

    def rate(self, now: float) -> float:
        """Not shown: nobody counts runs by the second."""
        del now
        return 0.0

    def fraction(self, now: float) -> float | None:
        """The share of all runs, that of the present one included."""
        return min(1.0, self._through(now) / (self.total or 1))

    def seconds_left(self, now: float) -> float | None:
        """By the time that the runs of this command have taken."""
        through = self._through(now) - self._found
        left = (self.total or 0) - self._found - through
        return (now - self.began) / through * left if through > 0 else None

    def _through(self, now: float) -> float:
        shares = [s.fraction(now) for s in progress.inside(self) if s.name == "training"]
        return min(self.done + (shares[-1] or 0.0 if shares else 0.0), float(self.total or 0))
