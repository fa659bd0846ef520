"""One of two processes is killed or stopped: one line, the right exit code, and nobody left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from small_runs import write_words

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]
WORDS = (
    "train", "source=files", "source.train=train.csv", "source.validation=validation.csv",
    "data=text_label", "data.features.text.column=word", "data.target.column=kind",
    "data.batch_size=5", "head=classification", "callbacks=no_early_stopping",
    "trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp",
    "trainer.max_epochs=100000", "trainer.num_threads=1", "hydra.run.dir=run",
)  # fmt: skip
#: How long all may take to end, in seconds: five or less, unless the machine is busy.
NOTICED = 90


def session_of(leader: int) -> list[int]:
    """The processes of a session that still run."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if int(session) == leader and state != "Z":
                found.append(int(folder.name))
    return sorted(found)


def rank_of(process: int) -> str | None:
    """The rank of a process that Lightning started."""
    words = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    return next((w.decode().partition("=")[2] for w in words if w.startswith(b"LOCAL_RANK=")), None)


def wait_for(what, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.1)
    return bool(what())


@pytest.fixture
def run(tmp_path):
    """A run of two processes after its second epoch."""
    write_words(tmp_path)
    hidden = ("LOCAL_RANK", "RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "seqlab.cli", *WORDS],
            stdout=out, stderr=err, cwd=tmp_path, start_new_session=True,
            env={**environment, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    try:
        began = wait_for(
            lambda: process.poll() is not None or "epoch 2/" in (tmp_path / "out").read_text(), 240
        )
        assert began, (tmp_path / "err").read_text()
        assert process.poll() is None, (tmp_path / "err").read_text()
        yield process, tmp_path
    finally:
        for left in session_of(process.pid):
            os.kill(left, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize(
    ("rank", "number", "code"),
    [
        (1, signal.SIGKILL, 2),
        (1, signal.SIGTERM, 2),
        (0, signal.SIGTERM, 143),
        (0, signal.SIGINT, 130),
        (0, signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_one_process_is_stopped(run, rank, number, code):
    first, folder = run
    (second,) = [p for p in session_of(first.pid) if p != first.pid and rank_of(p) == "1"]
    os.kill(first.pid if rank == 0 else second, number)
    ended = wait_for(lambda: first.poll() is not None and not session_of(first.pid), NOTICED)
    said = (folder / "err").read_text()
    assert ended, said
    assert first.returncode == code, said
    assert "Traceback" not in said
    lines = [*said.splitlines(), *(folder / "out").read_text().splitlines()]
    told = [line for line in lines if "; go on with it by resume=" in line]
    assert len(told) == 1, lines
    assert said.splitlines() == {143: [], 130: ["interrupted"]}.get(code, told)
