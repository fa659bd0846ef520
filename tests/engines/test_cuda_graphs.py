"""What is said to CUDA when a graph is captured; tests/gpu/test_triton_graphs.py has the rest."""

from __future__ import annotations

import contextlib
import weakref
from types import SimpleNamespace

import pytest
import torch
from seqlab.engines.triton import graphs

CPU = torch.device("cpu")


class Graph:
    """One that was captured."""

    def __init__(self, number, said):
        self.number, self.said = number, said

    def replay(self):
        self.said.append("replay")


class FakeCuda:
    """``torch.cuda``, which notes what it is told."""

    def __init__(self):
        self.said, self.current, self.capturing = [], self.stream_of("main"), False
        self.fails, self.made = False, 0

    def stream_of(self, name):
        return SimpleNamespace(name=name, cuda_stream=name)

    def Stream(self, *, priority):  # noqa: N802  # torch's name
        assert priority == -1
        return self.stream_of("side")

    def current_stream(self, _=None):
        return self.current

    def graph_pool_handle(self):
        self.said.append("a pool")
        return "pool"

    @contextlib.contextmanager
    def stream(self, stream):
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    def CUDAGraph(self):  # noqa: N802  # torch's name
        self.made += 1
        return Graph(self.made, self.said)

    @contextlib.contextmanager
    def graph(self, graph, *, pool, stream, capture_error_mode):
        assert (pool, stream.name, capture_error_mode) == ("pool", "side", "thread_local")
        assert graph is not None
        self.said.append("begin")
        self.current = self.stream_of("left behind")
        yield
        if self.fails:
            raise RuntimeError("operation not permitted\nwhen a stream is capturing")
        self.said.append("end")

    def is_current_stream_capturing(self):
        return self.capturing


@pytest.fixture(name="fake")
def _fake(monkeypatch):
    fake = FakeCuda()
    monkeypatch.setattr(torch, "cuda", fake)
    return fake


def test_a_run_then_a_capture_on_a_stream_where_nothing_else_runs(fake):
    cuda = graphs.Cuda()
    run = lambda: fake.said.append(f"run on {fake.current.name}")  # noqa: E731  # short
    replay = cuda.capture(run, CPU)
    assert fake.said == ["run on main", "a pool", "begin", "run on left behind", "end"]
    replay()
    assert fake.said[-1] == "replay"
    cuda.capture(run, CPU)
    assert fake.said.count("a pool") == 1
    assert fake.current.name == "main"


def test_graphs_of_one_stream_go_together(fake, monkeypatch):
    monkeypatch.setattr(graphs, "MOST_CAPTURED", 2)
    cuda, gone = graphs.Cuda(), []

    def captured():
        replay = cuda.capture(lambda: None, CPU)
        graph = replay.func.__self__.graphs[-1]
        weakref.finalize(graph, gone.append, graph.number)
        return replay

    replays = [captured() for _ in range(5)]
    assert fake.said.count("a pool") == 3
    del replays[0]
    assert not gone  # torch would take the workspace from the second
    replays[0]()
    del replays[0]
    assert sorted(gone) == [1, 2]
    del replays[:]
    assert sorted(gone) == [1, 2, 3, 4]  # more may be captured beside the last
    assert fake.said.count("replay") == 1


def test_a_capture_that_fails_is_said_once_and_leaves_the_stream_as_it_was(fake):
    fake.fails, ran = True, []
    run = graphs.Replayed(lambda: ran.append(fake.current.name), CPU)
    with pytest.warns(UserWarning, match="not permitted.*launched one by one"):
        run()
    assert run.failed
    assert fake.current.name == "main"
    run()
    assert ran == ["main", "left behind", "main"]
    assert graphs._capturing.acquire(blocking=False)
    graphs._capturing.release()


def test_what_a_run_raises_is_no_failed_capture(fake):
    def run():
        raise RuntimeError("no memory")

    replayed = graphs.Replayed(run, CPU)
    with pytest.raises(RuntimeError, match="no memory"):
        replayed()
    assert not replayed.failed
    assert not graphs._capturing.locked()


def test_where_no_graph_may_be_captured(fake, monkeypatch):
    cuda = graphs.Cuda()
    assert cuda.allows()
    with torch.autocast("cpu"):
        assert not cuda.allows()
    fake.capturing = True
    assert not cuda.allows()
    fake.capturing = False
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    assert not cuda.allows()
