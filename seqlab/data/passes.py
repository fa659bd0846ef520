"""Several parts learn from the same rows in one pass over them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from seqlab.data.part import Column
from seqlab.data.raw_columns import Where

#: Column to values, one a row.
Columns = Mapping[str, Sequence[Any]]
#: Begins a pass over some columns: chunks of their values, and where each row stands.
Read = Callable[[Sequence[str]], Iterable[tuple[Columns, Where]]]
#: A column, and what goes over it, perhaps several times.
Job = tuple[str, Callable[[Column], None]]
Chunk = tuple[Sequence[Any], Where]

_AHEAD = 2
#: Seconds between looks at whether a learner that takes no more chunks still wants any.
_PATIENCE = 0.1


def learn_together(jobs: Sequence[Job], read: Read) -> None:
    """Do all jobs; passes that they ask for at the same time are one.

    >>> rows = {"word": ["a", "b"], "sound": ["x", "y"]}
    >>> passes, heard = [], []
    >>> def read(columns):
    ...     passes.append(list(columns))
    ...     yield {name: rows[name] for name in columns}, "row {}".format
    >>> learn_together([(name, lambda column: heard.extend(column())) for name in rows], read)
    >>> passes, sorted(values for values, where in heard)
    ([['word', 'sound']], [['a', 'b'], ['x', 'y']])

    Args:
        jobs: what is to be done, each in a thread of its own; each sees all rows in order.
        read: begins a pass over columns.

    Raises:
        Exception: that of the first job that fails, or of the reading.
    """
    learners = [_Learner(job) for job in jobs]
    for learner in learners:
        learner.start()
    try:
        while waiting := _waiting(learners):
            _one_pass(waiting, read)
    finally:
        for learner in learners:
            learner.give_up()


class _GivenUpError(Exception):
    """Another job has failed, or the rows cannot be read."""


class _Pass:
    """The chunks of one pass on their way to a learner."""

    def __init__(self) -> None:
        self._chunks: queue.Queue[Chunk | None] = queue.Queue(_AHEAD)
        self._room = threading.Event()
        self.open = True

    def put(self, chunk: Chunk | None) -> None:
        """Hand over a chunk, None at the end; nothing when no more is wanted."""
        while self.open and self._chunks.full():
            self._room.wait(_PATIENCE)
            self._room.clear()
        if self.open:
            self._chunks.put(chunk)

    def get(self) -> Chunk | None:
        """The next chunk."""
        chunk = self._chunks.get()
        self._room.set()
        return chunk


class _Learner(threading.Thread):
    """A job, which waits for a pass until the others wait for one too."""

    def __init__(self, job: Job) -> None:
        super().__init__(name=f"learning from {job[0]}", daemon=True)
        self.column, self._work = job
        self.error: Exception | None = None
        #: What it waits for, once ``idle``; None: it is over.
        self.wanted: _Pass | None = None
        self.idle = threading.Event()
        self._given_up = False

    def run(self) -> None:
        try:
            self._work(self._values)
        except _GivenUpError:
            pass
        except Exception as error:  # noqa: BLE001 - raised again by learn_together
            self.error = error
        self.wanted = None
        self.idle.set()

    def _values(self) -> Iterator[Chunk]:
        mine = self.wanted = _Pass()
        self.idle.set()
        try:
            while not self._given_up and (chunk := mine.get()) is not None:
                yield chunk
            if self._given_up:
                raise _GivenUpError
        finally:
            mine.open = False

    def give_up(self) -> None:
        """End it, if it is not over."""
        self._given_up = True
        if (wanted := self.wanted) is not None:
            wanted.put(None)
        self.join(timeout=1.0)


def _waiting(learners: Sequence[_Learner]) -> list[_Learner]:
    """Those that wait for a pass, when each of them does or is over."""
    for learner in learners:
        learner.idle.wait()
        if learner.error is not None:
            raise learner.error
    return [learner for learner in learners if learner.wanted is not None]


def _one_pass(waiting: Sequence[_Learner], read: Read) -> None:
    passes = [(learner.column, learner.wanted) for learner in waiting if learner.wanted]
    for learner in waiting:
        learner.idle.clear()
    for values, where in read(list(dict.fromkeys(column for column, _ in passes))):
        for column, one in passes:
            one.put((values[column], where))
        if not any(one.open for _, one in passes):
            return
    for _, one in passes:
        one.put(None)
