"""A line that shows where a run is, on a terminal."""

from __future__ import annotations

import time
from typing import TextIO


class ProgressLine:
    """A line that is overwritten in place on a terminal, and absent elsewhere."""

    def __init__(self, stream: TextIO, *, enabled: bool) -> None:
        self.stream = stream
        self.enabled = enabled and stream.isatty()
        self._next = 0.0

    def show(self, text: str) -> None:
        """Replace the line, at most five times a second."""
        now = time.monotonic()
        if self.enabled and now >= self._next:
            self._next = now + 0.2
            self.stream.write(f"\r\x1b[K{text}")
            self.stream.flush()

    def clear(self) -> None:
        """Remove the line."""
        if self.enabled:
            self.stream.write("\r\x1b[K")
            self.stream.flush()
