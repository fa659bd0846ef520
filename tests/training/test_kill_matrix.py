"""A run killed at any state of its files and resumed ends the same, and leaves no other file."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from seqlab.training.run import train

from forked import context
from small_runs import changed, words_spec

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
#: What a run does to its files, by name in ``os``.
EVENTS = ("replace", "fsync", "unlink", "rename", "mkdir", "rmdir")
#: The states are shared by so many tests, none of which is long on a busy machine.
PARTS = 12


def _train(spec: dict[str, Any], folder: str, before_event: Callable[[int], None]) -> None:
    """Train; ``before_event`` is called with the number of each change of a file before it."""
    torch.set_num_threads(1)
    count = 0

    def counted(real):
        def call(*args, **kwargs):
            nonlocal count
            count += 1
            before_event(count)
            return real(*args, **kwargs)

        return call

    for name in EVENTS:
        setattr(os, name, counted(getattr(os, name)))
    train(spec, folder)


def _train_killed(spec: dict[str, Any], folder: str, moment: int) -> None:
    """Train in this process, which is killed before the given change of a file; 0: never."""

    def kill(number: int) -> None:
        if number == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    _train(spec, folder, kill)


def _train_watched(spec: dict[str, Any], folder: str, moments: str) -> None:
    """Train, and write down the changes before which the files were in a new state."""
    found, state = [], None

    def watch(number: int) -> None:
        nonlocal state
        now = _state(Path(folder))
        if now != state:
            found.append(number)
            state = now

    _train(spec, folder, watch)
    Path(moments).write_text(json.dumps(found))


def _state(folder: Path) -> list[tuple[str, str]]:
    """What lies in a folder, without the random part of temporary names."""
    return sorted(
        (
            re.sub(r"\.[0-9a-f]{8}\.", ".", str(path)),
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in folder.rglob("*")
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An unbroken run: its spec, its folder, and the moments at which its files had changed."""
    folder = tmp_path_factory.mktemp("whole")
    spec = changed(
        words_spec(folder),
        callbacks__early_stopping={"patience": 2},
        callbacks__checkpoint={"monitor": None, "mode": None, "every_n_steps": 7},
        trainer__max_epochs=2,
    )
    moments = folder / "moments.json"
    assert run_in(_train_watched, spec, folder / "run", str(moments)) == 0
    return spec, folder / "run", json.loads(moments.read_text())


def run_in(function, spec, folder, argument) -> int:
    process = context().Process(target=function, args=(spec, str(folder), argument))
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


def check_killed_at(whole, moment, folder):
    spec, reference, _ = whole
    assert run_in(_train_killed, spec, folder, moment) == -signal.SIGKILL
    resumed = changed(spec, resume=True)
    if not (folder / "result.json").exists():
        assert run_in(_train_killed, resumed, folder, 0) == 0
    files, weights, rows, result = outcome_of(folder)
    expected_files, expected_weights, expected_rows, expected_result = outcome_of(reference)
    assert files == expected_files
    assert all(torch.equal(weights[name], expected_weights[name]) for name in expected_weights)
    assert rows == expected_rows
    assert result == expected_result


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.95])
def test_killed_at_some_moments(whole, tmp_path, share):
    moments = whole[2]
    check_killed_at(whole, moments[int(share * len(moments))], tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_killed_in_every_state_of_its_files(whole, tmp_path, part):
    moments = whole[2][part::PARTS]
    for moment in moments:
        check_killed_at(whole, moment, tmp_path / str(moment))
    sys.stdout.write(f"\nkilled in {len(moments)} of {len(whole[2])} states of its files\n")
