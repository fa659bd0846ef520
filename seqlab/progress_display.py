"""Shows the stages of long work: a live line on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from seqlab import progress
from seqlab.console import is_primary
from seqlab.progress import Stage
from seqlab.progress_text import Line, finished, plain

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

#: A stage that took less is not worth a line of its own afterwards.
WORTH_A_LINE = 2.0
#: The longest silence where there is no terminal.
LONGEST_SILENCE = 60.0


@contextlib.contextmanager
def shown(*, plain_to: TextIO, patience: float) -> Iterator[None]:
    """Show the stages of the block, if this is the process that speaks.

    On a terminal they are drawn on standard error, where they leave nothing behind but a line for
    each stage that took long.

    Args:
        plain_to: where lines go when there is no terminal.
        patience: seconds of silence before the first of these lines; each later silence is twice
            as long, up to a minute.
    """
    if not is_primary():
        yield
        return
    display: Display = (
        Terminal() if _is_terminal(sys.stderr) else Lines(plain_to, patience=patience)
    )
    with progress.watched(display):
        try:
            yield
        finally:
            display.close()


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "") not in {"dumb", "unknown"}


class Display:
    """The stages there are, and a thread that looks at them while there are any.

    Args:
        interval: seconds between looks.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.stages: list[Stage] = []
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def begun(self, stage: Stage) -> None:
        """See ``Watcher``."""
        with self._lock:
            self.stages.append(stage)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="progress", daemon=True)
                self._thread.start()

    def ended(self, stage: Stage) -> None:
        """See ``Watcher``."""
        with self._lock:
            self.stages = [other for other in self.stages if other is not stage]

    def spoken(self) -> None:
        """See ``Watcher``."""

    def tick(self, now: float) -> None:
        """Show the stages as they are; called under the lock, with a stage there."""
        raise NotImplementedError

    def close(self) -> None:
        """Show nothing any more."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        while not self._closed.wait(self.interval):
            with self._lock:
                if self.stages:
                    self.tick(time.monotonic())


class Terminal(Display):
    """Draws a line for each stage, on a terminal; all lines go when the last stage ends."""

    def __init__(self) -> None:
        super().__init__(interval=0.2)
        self._live: Live | None = None
        self._handlers: list[tuple[logging.StreamHandler[TextIO], TextIO]] = []

    def begun(self, stage: Stage) -> None:
        """The first stage is drawn at once: imports may keep the thread from its work."""
        super().begun(stage)
        with self._lock:
            self.tick(time.monotonic())

    def tick(self, now: float) -> None:
        """Draw."""
        del now
        if self._live is None:
            self._start()
        else:
            self._live.refresh()

    def ended(self, stage: Stage) -> None:
        """A long stage leaves a line; with the last one the live lines go."""
        super().ended(stage)
        with self._lock:
            took = time.monotonic() - stage.began
            if self._live is not None:
                if stage.summary and took >= WORTH_A_LINE:
                    self._live.console.print(finished(stage, took), highlight=False, soft_wrap=True)
                if not self.stages:
                    self._stop()

    def close(self) -> None:
        """See the base class."""
        super().close()
        self._stop()

    def _start(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            console=Console(stderr=True),
            get_renderable=self._lines,
            auto_refresh=False,
            transient=True,
            # lines printed elsewhere must not be drawn here
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=True,
        )
        before = {sys.stdout: "stdout", sys.stderr: "stderr"}
        self._live.start(refresh=True)
        self._live.console.show_cursor(show=True)  # a killed program must not take it along
        for handler in logging.root.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream in before:
                self._handlers.append((handler, handler.stream))
                handler.setStream(getattr(sys, before[handler.stream]))

    def _stop(self) -> None:
        if self._live is None:
            return
        for handler, stream in self._handlers:
            handler.setStream(stream)
        self._handlers.clear()
        self._live.stop()
        self._live = None

    def _lines(self) -> RenderableType:
        from rich.console import Group

        now = time.monotonic()
        return Group(*(Line(stage, now) for stage in self.stages))


class Lines(Display):
    """Writes a line after long silence.

    Args:
        stream: where to.
        patience: seconds of silence before the first line of a stage.
    """

    def __init__(self, stream: TextIO, *, patience: float) -> None:
        super().__init__(interval=min(0.5, patience))
        self.stream = stream
        self.patience = patience
        self._silence = patience
        self._heard = time.monotonic()

    def begun(self, stage: Stage) -> None:
        """A stage of its own is news sooner than more of the same."""
        super().begun(stage)
        if len(self.stages) == 1:
            self._silence = self.patience

    def spoken(self) -> None:
        """See ``Watcher``."""
        self._heard = time.monotonic()

    def tick(self, now: float) -> None:
        """Write the line of the innermost stage, if it is time."""
        if self.stages[-1].lines and now - self._heard >= self._silence:
            self._silence = min(2 * self._silence, LONGEST_SILENCE)
            self._write(plain(self.stages[-1], now))

    def ended(self, stage: Stage) -> None:
        """A long stage leaves a line."""
        super().ended(stage)
        took = time.monotonic() - stage.began
        if stage.summary and took >= max(WORTH_A_LINE, self.patience):
            self._write(finished(stage, took))

    def _write(self, text: str) -> None:
        self._heard = time.monotonic()
        with contextlib.suppress(OSError, ValueError):  # the reader has gone: not our mistake
            self.stream.write(f"{text}\n")
            self.stream.flush()
