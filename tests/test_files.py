"""Writing that loses nothing: temporary files, locks, and what the system refuses."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from seqlab.errors import MachineError, RunError
from seqlab.failures import machine_failure
from seqlab.files import atomic_folder, atomic_writer, write_json
from seqlab.locks import folder_lock, in_use, scratch_folder, sweep, sweep_scratch
from seqlab.memory import free_memory

pytestmark = pytest.mark.skipif(os.name != "posix", reason="locks of files")


def test_what_killed_processes_left_goes_and_what_is_being_made_stays(tmp_path):
    left = tmp_path / ".a.json.0123abcd.tmp"
    left.write_text("half")
    folder = tmp_path / ".bundle.0123abcd.tmp"
    folder.mkdir()
    (folder / "x").write_text("half")
    other = tmp_path / ".profile"
    other.write_text("mine")
    with atomic_writer(tmp_path / "b.json") as stream:
        stream.write(b"whole")
        sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".profile", "b.json"]
    assert (tmp_path / "b.json").read_bytes() == b"whole"


def test_writing_sweeps_what_was_to_become_the_same_file(tmp_path):
    (tmp_path / ".a.json.0123abcd.tmp").write_text("half")
    (tmp_path / ".b.json.0123abcd.tmp").write_text("half")
    write_json(tmp_path / "a.json", {})
    assert sorted(p.name for p in tmp_path.iterdir()) == [".b.json.0123abcd.tmp", "a.json"]


def test_a_folder_moved_away_for_one_that_never_came_gets_its_name_back(tmp_path):
    (tmp_path / ".bundle.0123abcd.old").mkdir()
    (tmp_path / ".bundle.0123abcd.old" / "x").write_text("old")
    sweep(tmp_path)
    assert (tmp_path / "bundle" / "x").read_text() == "old"


def test_scratch_folders_of_the_dead_go(tmp_path):
    (tmp_path / "download-0123abcd").mkdir()
    (tmp_path / "download-tool").mkdir()
    with scratch_folder(tmp_path, "download") as mine:
        sweep_scratch(tmp_path, "download")
        assert sorted(tmp_path.iterdir()) == sorted([mine, tmp_path / "download-tool"])
    assert list(tmp_path.iterdir()) == [tmp_path / "download-tool"]


def test_a_folder_has_one_holder(tmp_path):
    assert not in_use(tmp_path)
    with folder_lock(tmp_path):
        assert in_use(tmp_path)
        with pytest.raises(RunError, match="in use by another process"), folder_lock(tmp_path):
            pass
    assert not in_use(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux")
def test_no_room_is_one_line_that_names_the_file():
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "seqlab", "list", "kind=cell"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot write")
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("place", ["body", "end"])
def test_a_file_too_large_leaves_the_old_one(tmp_path, place):
    script = f"""
import resource, signal, sys
from seqlab.files import atomic_writer
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.dont_write_bytecode = True
resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000))
try:
    with atomic_writer("a") as stream:
        stream.write(b"x" * {60000 if place == "end" else 10**7})
except Exception as error:
    print(type(error).__name__, error)
"""
    (tmp_path / "a").write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (
        done.stdout
        == "MachineError cannot write a: File too large; it needs a larger limit (ulimit -f)\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_folder_that_cannot_be_filled_leaves_the_old_one(tmp_path):
    (tmp_path / "bundle").mkdir()
    with (
        pytest.raises(MachineError, match=r"cannot write .*bundle: No space"),
        atomic_folder(tmp_path / "bundle", "mark"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "inside")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_folder_replaces_one_of_its_kind_and_nothing_else(tmp_path):
    for _ in range(2):
        with atomic_folder(tmp_path / "mine", "mark") as new:
            (new / "mark").touch()
    (tmp_path / "empty").mkdir()
    with atomic_folder(tmp_path / "empty", "mark") as new:
        (new / "mark").touch()
    assert (tmp_path / "empty" / "mark").is_file()
    for path in (tmp_path / "theirs" / "rows.csv", tmp_path / "rows.csv"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("a,b\n1,2\n")
    for name, what in (("theirs", r"a folder of other things \(mark is"), ("rows.csv", "a file")):
        with (
            pytest.raises(RunError, match=rf"{name} is {what}.*which would be lost; choose"),
            atomic_folder(tmp_path / name, "mark"),
        ):
            raise AssertionError("the block must not begin")
    assert (tmp_path / "rows.csv").read_text() == "a,b\n1,2\n"
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["rows.csv"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: "
                      "you tried to allocate 768000000000 bytes."), "768 GB were asked for"),
        (RuntimeError("DataLoader worker (pid 3556) is killed by signal: Killed. "), "Killed"),
        (RuntimeError("DataLoader worker (pid(s) 3, 4) exited unexpectedly"), "worker process"),
        (RuntimeError("received 0 items of ancdata"), "too many open files"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer"), "another"),
        (Exception("No space left on device (os error 28)"), "No space left on device"),
    ],
)  # fmt: skip
def test_failures_of_the_machine_are_known_by_what_they_say(error, text):
    failure = machine_failure(error)
    assert isinstance(failure, MachineError)
    assert text in str(failure)


@pytest.mark.parametrize("error", [ValueError("out of range"), RuntimeError("size mismatch")])
def test_other_failures_are_none_of_the_machine(error):
    assert machine_failure(error) is None


def test_free_memory_is_a_number_of_bytes():
    free = free_memory()
    assert free is None or free > 0
