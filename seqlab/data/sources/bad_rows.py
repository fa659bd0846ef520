"""Rows that cannot be used: the end of a run, or counted and named."""

from __future__ import annotations

import logging

from seqlab.errors import DataError

_log = logging.getLogger(__name__)
_NAMED = 10


class BadRows:
    """What becomes of bad rows.

    Args:
        skip: leave them out and remember them; else the first is raised.
    """

    def __init__(self, *, skip: bool) -> None:
        self.skip = skip
        self._seen: dict[tuple[str, int], str] = {}
        self._said = 0

    def add(self, file: str, line: int, problem: DataError) -> None:
        """Take in a bad row; the same one counts once, however often the file is read.

        Raises:
            DataError: the problem itself, unless bad rows are skipped.
        """
        if not self.skip:
            raise problem
        self._seen.setdefault((file, line), str(problem))

    def say(self) -> None:
        """Warn of the rows that were left out since the last time."""
        if len(self._seen) > self._said:
            self._said = len(self._seen)
            _log.warning("source.on_error=skip left out %s", self)

    def __str__(self) -> str:
        return f"{len(self._seen):,} bad rows: {self._named()}"

    def _named(self) -> str:
        more = len(self._seen) - _NAMED
        first = "; ".join(list(self._seen.values())[:_NAMED])
        return first + (f"; and {more:,} more" if more > 0 else "")

    def describe(self) -> dict[str, object]:
        """How many, and the first of them, for a run's results."""
        return {"count": len(self._seen), "rows": list(self._seen.values())[:_NAMED]}
