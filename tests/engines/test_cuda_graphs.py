"""What is said to CUDA when a graph is captured; tests/gpu/test_triton_graphs.py has the rest."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest
import torch
from seqlab.engines.triton import graphs

CPU = torch.device("cpu")


class FakeCuda:
    """``torch.cuda``, which notes what it is told."""

    def __init__(self):
        self.said, self.current, self.capturing = [], self.stream_of("main"), False
        self.fails = False

    def stream_of(self, name):
        wait = lambda other: self.said.append(f"{name} waits for {other.name}")  # noqa: E731  # short
        return SimpleNamespace(name=name, cuda_stream=name, wait_stream=wait)

    def Stream(self):  # noqa: N802  # torch's name
        return self.stream_of("side")

    def current_stream(self, _=None):
        return self.current

    def graph_pool_handle(self):
        self.said.append("a pool")
        return "pool"

    @contextlib.contextmanager
    def stream(self, stream):
        before, self.current = self.current, stream
        yield
        self.current = before

    def CUDAGraph(self):  # noqa: N802  # torch's name
        return SimpleNamespace(replay=lambda: self.said.append("replay"))

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


def test_a_run_on_a_stream_of_its_own_then_a_capture_there(fake):
    cuda = graphs.Cuda()
    run = lambda: fake.said.append(f"run on {fake.current.name}")  # noqa: E731  # short
    replay = cuda.capture(run, CPU)
    assert fake.said == [
        "a pool", "side waits for main", "run on side", "begin", "run on left behind", "end",
        "main waits for side",
    ]  # fmt: skip
    replay()
    assert fake.said[-1] == "replay"
    cuda.capture(run, CPU)
    assert fake.said.count("a pool") == 1
    assert fake.current.name == "main"


def test_a_capture_that_fails_is_said_once_and_leaves_the_stream_as_it_was(fake):
    fake.fails, ran = True, []
    run = graphs.Replayed(lambda: ran.append(fake.current.name), CPU)
    with pytest.warns(UserWarning, match="not permitted.*launched one by one"):
        run()
    assert run.failed
    assert fake.current.name == "main"
    run()
    assert ran == ["side", "left behind", "main"]
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
