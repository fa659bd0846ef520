"""The processes of one run, forked from one that has imported what they need."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from forked import context


def _rank(
    told: dict[str, str],
    spec: dict[str, Any],
    folder: str,
    says: list[str],
    before: Callable[[], object],
) -> None:
    """Train as the process that an environment, like torchrun's, says it is."""
    for stream, path in zip((sys.stdout, sys.stderr), says, strict=True):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, stream.fileno())
        os.close(opened)
    os.environ.update(told)
    torch.set_num_threads(1)
    before()
    from seqlab.training.run import train

    result = train(spec, folder)
    sys.stdout.write(f"objective {result.objective}\n")
    sys.stdout.flush()


def _free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


class Ranks:
    """A run of several processes, begun.

    Args:
        spec: of the run, with as many devices.
        folder: the run's; what the processes say lies beside it.
        count: how many processes.
        before: called in each of them before it trains.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        folder: Path,
        count: int = 2,
        before: Callable[[], object] = bool,
    ) -> None:
        self.said = folder.with_name(f"{folder.name}.out")
        self.errors = folder.with_name(f"{folder.name}.err")
        told = {
            "WORLD_SIZE": str(count), "NODE_RANK": "0",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port(),
        }  # fmt: skip
        says = [str(self.said), str(self.errors)]
        self.processes = [
            context().Process(
                target=_rank,
                args=({**told, "LOCAL_RANK": str(rank)}, spec, str(folder), says, before),
            )
            for rank in range(count)
        ]
        for process in self.processes:
            process.start()

    @property
    def run(self) -> bool:
        """Whether all processes run."""
        return self._codes() == [None] * len(self.processes)

    def kill(self) -> None:
        """End all by SIGKILL."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()

    def end(self, seconds: float = 200) -> None:
        """Wait until all have ended well.

        Raises:
            RuntimeError: one failed, or they did not end in time; what they said.
        """
        end = time.monotonic() + seconds
        while (codes := self._codes()) != [0] * len(codes):
            if any(codes) or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"ended with {codes}: {self.errors.read_text()}")
            time.sleep(0.01)

    def _codes(self) -> list[int | None]:
        return [process.exitcode for process in self.processes]
