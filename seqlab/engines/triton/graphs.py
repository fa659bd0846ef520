"""CUDA graphs of loops over time: a loop's launches, captured once and replayed by later calls.

A graph reads and writes the memory that it was captured with. So that memory is kept with the
graph, for calls of one form: a call copies what it is given into it, has it for itself until its
gradients are found or nobody can ask for them any more, and gives copies away. A call that finds
it taken, and every call around which no graph may be captured, launches kernel by kernel in memory
of its own. Parameters are read where they lie; where one has moved, counting begins anew.

This has not run on a GPU yet, so it is off unless ``SEQLAB_CUDA_GRAPHS=1`` asks for it.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from seqlab.cells.base import Cell
from seqlab.engines.settled import undisturbed
from seqlab.engines.triton_presence import launching_on
from seqlab.errors import one_line

VARIABLE = "SEQLAB_CUDA_GRAPHS"
#: Calls of one form after which its loop is captured, which takes as long as some calls.
CALLS_BEFORE = 10
#: Steps from which a replay and its copies are less work than the launches.
LEAST_STEPS = 8
#: Forms that are counted for a cell; loops kept in this process, and the bytes that they hold.
MOST_FORMS, MOST_LOOPS, MOST_BYTES = 256, 16, 2 << 30
#: Graphs that go together, those of loops that are not kept any more as well.
MOST_CAPTURED = 64


def asked_for() -> bool:
    """Whether graphs are to be captured."""
    return os.environ.get(VARIABLE) == "1"


class Loop(Protocol):
    """A loop in memory that it keeps."""

    #: Bytes that it holds beside parameters.
    bytes: int


@dataclass
class _Side:
    """Where graphs of one stream are captured, and all of them.

    cuBLAS has a workspace for each stream, whose address graphs keep. It must lie in their own
    memory, so nothing runs there but captures; and as torch lets go of a stream's workspaces with
    any of its graphs (pytorch/pytorch#193402), the graphs of a side go together.
    """

    stream: Any
    pool: Any
    graphs: list[Any] = field(default_factory=list)

    def replay(self, index: int) -> None:
        """Replay the graph of a number."""
        self.graphs[index].replay()


class Cuda:
    """What is asked of CUDA."""

    def __init__(self) -> None:
        self._sides: dict[Hashable, _Side] = {}

    def allows(self) -> bool:
        """Whether a graph may be captured or replayed here."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return False  # other threads work on the device
        return undisturbed() and not torch.cuda.is_current_stream_capturing()

    def stream(self, device: torch.device) -> Hashable:
        """The stream of launches, in whose order memory is used."""
        return torch.cuda.current_stream(device).cuda_stream

    def capture(self, run: Callable[[], None], device: torch.device) -> Callable[[], None] | None:
        """Run it, and capture it; what replays it, or None where it cannot be captured."""
        with launching_on(device):
            run()
            side, graph = self._side(device), torch.cuda.CUDAGraph()
            try:
                # its own context does not leave the stream where the end of a capture fails
                with torch.cuda.stream(side.stream), torch.cuda.graph(
                    graph, pool=side.pool, stream=side.stream, capture_error_mode="thread_local"
                ):  # fmt: skip
                    run()
            except RuntimeError as error:
                warnings.warn(
                    f"no CUDA graph of a recurrent loop ({one_line(error)}); its kernels are "
                    "launched one by one", stacklevel=2,
                )  # fmt: skip
                return None
        side.graphs.append(graph)
        return functools.partial(side.replay, len(side.graphs) - 1)

    def _side(self, device: torch.device) -> _Side:
        """Of the current stream: its graphs never run at once, and may share memory."""
        key = device, self.stream(device)
        found = self._sides.get(key)
        if found is None or len(found.graphs) >= MOST_CAPTURED:
            # of the streams that few others use
            stream: Any = torch.cuda.Stream(priority=-1)  # type: ignore[no-untyped-call]  # torch's own
            found = self._sides[key] = _Side(stream, torch.cuda.graph_pool_handle())
        return found


#: What captures; tests put another in its place.
cuda: Any = Cuda()
#: One capture at a time.
_capturing = threading.Lock()


class Replayed:
    """A function over memory that stays: captured at its first call, then replayed."""

    def __init__(self, run: Callable[[], None], device: torch.device) -> None:
        self._run, self._device = run, device
        self._replay: Callable[[], None] | None = None
        self.failed = False

    def __call__(self) -> None:
        """Do what the function does."""
        if self._replay is not None:
            self._replay()
        elif self.failed or not _capturing.acquire(blocking=False):
            self._run()
        else:
            try:
                self._replay = cuda.capture(self._run, self._device)
                self.failed = self._replay is None
            finally:
                _capturing.release()


@dataclass
class Kept:
    """A loop with its graphs, which one call at a time has for itself."""

    loop: Any
    turn: int = 0
    failed: bool = False
    taken: Any = field(default_factory=threading.Lock)


class Lease:
    """A call's hold on a loop; it ends when ``end`` is called or nobody has the lease any more."""

    def __init__(self, kept: Kept) -> None:
        self.loop = kept.loop
        self._kept = kept
        self._end = weakref.finalize(self, kept.taken.release)
        self._end.atexit = False

    def end(self, *, failed: bool = False) -> None:
        """Let other calls have it; ``failed``: let none have it, for it cannot be captured."""
        self._kept.failed |= failed
        self._end()


@dataclass
class _Form:
    """Calls of one form: where parameters lay in them, how many there were, and their loop."""

    addresses: Sequence[int]
    calls: int = 0
    kept: Kept | None = None
    never: bool = False


class Graphs:
    """The loops of all cells that are kept."""

    def __init__(self) -> None:
        self._of: weakref.WeakKeyDictionary[Cell, dict[Hashable, _Form]] = (
            weakref.WeakKeyDictionary()
        )
        self._lock, self._turns = threading.Lock(), itertools.count(1)

    def lease(
        self, cell: Cell, device: torch.device, form: Hashable, addresses: Sequence[int],
        make: Callable[[], Loop],
    ) -> Lease | None:  # fmt: skip
        """A loop for one call, or None where it is to launch its kernels itself.

        Args:
            cell: whose loop it is.
            device: where it runs.
            form: all that a graph depends on but for addresses.
            addresses: those of the parameters that are read where they lie.
            make: makes the loop, in memory of its own.
        """
        if not cuda.allows():
            return None
        with self._lock:
            known = self._known(cell, (cuda.stream(device), form), addresses)
            known.calls += 1
            if known.kept is not None and known.kept.failed:
                known.kept, known.never = None, True
            if known.never or known.calls <= CALLS_BEFORE:
                return None
            if known.kept is None and not self._keep(known, make):
                return None
            kept = known.kept
            if kept is None or not kept.taken.acquire(blocking=False):
                return None
            kept.turn = next(self._turns)
            return Lease(kept)

    def _known(self, cell: Cell, form: Hashable, addresses: Sequence[int]) -> _Form:
        forms = self._of.setdefault(cell, {})
        known = forms.get(form)
        if known is None or known.addresses != addresses:
            if len(forms) >= MOST_FORMS:
                forms.clear()
            known = forms[form] = _Form(addresses)
        return known

    def _keep(self, form: _Form, make: Callable[[], Loop]) -> bool:
        """Make a loop, and let go of others for which there is no room then."""
        try:
            # memory that was made in inference mode could be written there alone
            with torch.inference_mode(mode=False), torch.no_grad():
                loop = make()
        except torch.OutOfMemoryError:
            form.never = True
            return False
        form.never = loop.bytes > MOST_BYTES
        if form.never:
            return False
        kept = [f for forms in self._of.values() for f in forms.values() if f.kept is not None]
        kept.sort(key=lambda f: 0 if f.kept is None else -f.kept.turn)
        held = loop.bytes
        for index, other in enumerate(kept, 1):
            held += 0 if other.kept is None else other.kept.loop.bytes
            if index >= MOST_LOOPS or held > MOST_BYTES:
                other.kept, other.calls = None, 0
        form.kept = Kept(loop)
        return True

    def forget(self) -> None:
        """Let go of all."""
        with self._lock:
            self._of.clear()


GRAPHS = Graphs()


def bytes_of(*owners: object) -> int:
    """The memory of the tensors that objects have, in lists too, but for parameters'."""
    found: dict[int, int] = {}
    pending: list[object] = [value for owner in owners for value in vars(owner).values()]
    while pending:
        value = pending.pop()
        if isinstance(value, (list, tuple)):
            pending.extend(value)
        elif isinstance(value, Tensor):
            storage = value.untyped_storage()
            size = 0 if isinstance(value, torch.nn.Parameter) else storage.nbytes()
            found[storage.data_ptr()] = min(size, found.get(storage.data_ptr(), size))
    return sum(found.values())
