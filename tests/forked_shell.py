"""Blocks of a page in a shell whose ``seqlab`` need not start: it is forked, see ``forked``.

``seqlab`` on the path is a small script that hands its words, folder, environment and open files to
a thread of the test's process, which has them taken over by a fork, and waits for its exit code.
"""

from __future__ import annotations

import array
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
from multiprocessing import reduction
from pathlib import Path
from typing import Any, Self

from forked import context

_ASK = """#!{python} -IS
import array, json, os, socket, sys
door = socket.socket(socket.AF_UNIX)
door.connect({address!r})
asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
files = array.array("i", [0, 1, 2])
size = len(asked).to_bytes(8, "big")
door.sendmsg([size], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
door.sendall(asked)
sys.exit(int(door.makefile().read()))
"""


class _File:
    """An open file that goes along to a fork, as its number there."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> Any:
        return _taken, (reduction.DupFd(self.number),)


def _taken(duplicate: Any) -> int:
    return int(duplicate.detach())


class ForkedShell:
    """A context manager; ``run`` runs a block."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        address = str(folder / "door")
        self._script = folder / "seqlab"
        self._script.write_text(_ASK.format(python=sys.executable, address=address))
        self._script.chmod(0o755)
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(address)
        self._door.listen()
        context().Process(target=int).start()  # a thread must not be the first to start the server
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self._folder.cleanup()

    def run(self, language: str, code: str, folder: Path) -> str:
        """Run a block of ``bash`` or ``python`` in a folder; what it printed.

        Raises:
            AssertionError: it ended with another code than 0.
        """
        command = ["bash", "-euc", code]
        if language == "python":
            command = [str(self._script), "-c", code]
        parts = (str(self._script.parent), str(Path(sys.executable).parent), os.environ["PATH"])
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PATH": os.pathsep.join(parts), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _serve(self) -> None:
        while True:
            try:
                asking, _ = self._door.accept()
            except OSError:
                return
            with asking, asking.makefile("w") as answer:
                answer.write(str(_forked(asking)))


def _forked(asking: socket.socket) -> int:
    """The exit code of a fork that does what is asked for."""
    files = array.array("i")
    size, sent, _, _ = asking.recvmsg(8, socket.CMSG_SPACE(3 * files.itemsize))
    files.frombytes(sent[0][2])
    asked = b""
    while len(asked) < int.from_bytes(size, "big"):
        asked += asking.recv(1 << 20)
    process = context().Process(target=_become, args=(*json.loads(asked), list(map(_File, files))))
    process.start()
    for number in files:
        os.close(number)
    process.join()
    return int(process.exitcode or 0) % 256


def _become(words: list[str], folder: str, variables: dict[str, str], files: list[int]) -> None:
    for stream, number in enumerate(files):
        os.dup2(number, stream)
        os.close(number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - multiprocessing has closed it
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    random.seed()  # else all forks would draw the same
    if words[:1] == ["-c"]:
        exec(words[1], {"__name__": "__main__"})  # noqa: S102 - a block of our own page
        return
    from seqlab.cli import main

    sys.exit(main(words))
