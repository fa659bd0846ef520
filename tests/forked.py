"""The command in processes that are forked from one which has imported what it needs."""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch


class Outcome(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@functools.cache
def context() -> Any:
    """Where processes are forked from."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["seqlab.training.run", "seqlab.config.app", "small_runs"])
    return found


def _command(words: list[str], folder: str, before: str, output: str, errors: str) -> None:
    os.chdir(folder)
    for stream, path in ((sys.stdout, output), (sys.stderr, errors)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, stream.fileno())
        os.close(opened)
    torch.set_num_threads(1)
    # under a limit of sizes Python would leave cut bytecode, for all who import it later
    sys.dont_write_bytecode = True
    exec(before, {})  # noqa: S102 - the test's own code
    from seqlab.cli import main

    sys.exit(main(words))


def seqlab(folder: Path, *words: str, before: str = "", stdout: str = "") -> Outcome:
    """Run the command in a folder, after some Python.

    Args:
        folder: its current folder; what it says lies in files beside that.
        words: its words.
        before: Python to run first.
        stdout: a device to write to.
    """
    output, errors = folder.with_name("stdout"), folder.with_name("stderr")
    given = (list(words), str(folder), before, stdout or str(output), str(errors))
    process = context().Process(target=_command, args=given)
    process.start()
    process.join(200)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"{words} did not end: {errors.read_text()}")
    return Outcome(process.exitcode, "" if stdout else output.read_text(), errors.read_text())
