"""Setting engines up in threads of their own, while steps go on without them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable

from seqlab.cells.base import Cell, settings_key
from seqlab.engines.base import Engine, Sequence


class Behind:
    """What one layer has begun to set up; each engine once for a cell as it is."""

    def __init__(self) -> None:
        self._begun: set[Hashable] = set()
        self._done = threading.Event()

    def begin(self, engine: Engine, cell: Cell, run: Sequence) -> None:
        """Begin, unless it was begun before or there is nothing to do."""
        key = (engine.name, settings_key(cell), run.x.dtype)
        if key in self._begun or engine.unavailable() is not None:
            return
        self._begun.add(key)
        work = engine.prepare_behind(cell, run)
        if work is not None:
            # a process that ends waits for no compiler
            threading.Thread(target=self._work, args=(work,), daemon=True).start()

    def _work(self, work: Callable[[], object]) -> None:
        # the planner asks again, and is told what is wrong by whoever prepares
        with contextlib.suppress(Exception):
            work()
        self._done.set()

    def has_news(self) -> bool:
        """Whether something was set up since the last time this was asked."""
        if not self._done.is_set():
            return False
        self._done.clear()
        return True
