"""A run killed at any change of its files and resumed ends the same, and leaves no other file."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from seqlab.training.run import train

from small_runs import changed, words_spec

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
#: What a run does to its files, by name in ``os``.
EVENTS = ("replace", "fsync", "unlink", "rename", "mkdir", "rmdir")


def _train(spec: dict[str, Any], folder: str, moment: int, count: Any) -> None:
    """Train in this process, which is killed at the given change of a file; 0: never."""
    torch.set_num_threads(1)

    def counted(real):
        def call(*args, **kwargs):
            count.value += 1
            if count.value == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    for name in EVENTS:
        setattr(os, name, counted(getattr(os, name)))
    train(spec, folder)


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["seqlab.training.run", "small_runs"])
    return context


@pytest.fixture(scope="module")
def whole(processes, tmp_path_factory):
    """An unbroken run: its spec, its folder, and how often it changed a file."""
    folder = tmp_path_factory.mktemp("whole")
    spec = changed(words_spec(folder), callbacks__early_stopping={"patience": 2})
    count = processes.Value("i", 0)
    assert run_in(processes, spec, folder / "run", 0, count) == 0
    return spec, folder / "run", count.value


def run_in(processes, spec, folder, moment, count) -> int:
    process = processes.Process(target=_train, args=(spec, str(folder), moment, count))
    process.start()
    process.join(300)
    return process.exitcode


def outcome_of(folder: Path) -> tuple[set[str], dict[str, Any], list[str], dict[str, Any]]:
    state = torch.load(folder / "checkpoints" / "resume.ckpt", weights_only=True)
    rows = [line.rpartition(",")[0] for line in (folder / "metrics.csv").read_text().splitlines()]
    result = json.loads((folder / "result.json").read_text())
    result = {key: result[key] for key in result.keys() - {"seconds", "test_seconds"}}
    files = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return files, state["state_dict"], rows, result


def check_killed_at(processes, whole, moment, folder):
    spec, reference, _ = whole
    assert run_in(processes, spec, folder, moment, processes.Value("i", 0)) == -signal.SIGKILL
    resumed = changed(spec, resume=True)
    if not (folder / "result.json").exists():
        assert run_in(processes, resumed, folder, 0, processes.Value("i", 0)) == 0
    files, weights, rows, result = outcome_of(folder)
    expected_files, expected_weights, expected_rows, expected_result = outcome_of(reference)
    assert files == expected_files
    assert all(torch.equal(weights[name], expected_weights[name]) for name in expected_weights)
    assert rows == expected_rows
    assert result == expected_result


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.95])
def test_killed_at_some_moments(processes, whole, tmp_path, share):
    check_killed_at(processes, whole, max(1, int(share * whole[2])), tmp_path / "run")


@pytest.mark.slow
def test_killed_at_every_moment(processes, whole, tmp_path):
    for moment in range(1, whole[2] + 1):
        check_killed_at(processes, whole, moment, tmp_path / str(moment))
