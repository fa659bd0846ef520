"""Forty trials by three workers, one of which is killed; and a sweep whose every process is."""

from __future__ import annotations

import json
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
    "source=files", "source.train=train.csv", "source.validation=validation.csv",
    "source.test=test.csv", "data=text_label", "data.features.text.column=word",
    "data.target.column=kind", "data.batch_size=8", "head=classification", "cell.hidden_size=4",
    "embedding.size=4", "trainer.max_epochs=3", "wrapper=none", "report=false", "cell=lstm,gru",
    "optimizer.lr=tag(log,interval(0.001,0.1))", "sweep.workers=3",
)  # fmt: skip


def start(folder, *words):
    with (folder / "out").open("a") as out, (folder / "err").open("a") as err:
        return subprocess.Popen(
            [sys.executable, "-m", "seqlab.cli", "sweep", *words],
            cwd=folder, stdout=out, stderr=err, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip


def workers_of(parent):
    """The processes that carry out trials."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            above = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if above == str(parent) and any(b"spawn_main" in word for word in words):
            found.append(int(folder.name))
    return found


def until(what, process):
    end = time.monotonic() + 900
    while not what():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.2)


def busy(folder):
    """The trials that are in some process's hands, with their training begun."""
    return [
        path.name
        for path in (folder / "s" / ".alive").glob("*")
        if (folder / "s" / "trials" / path.name / "metrics.csv").exists()
    ]


def holder(folder, number, processes):
    """The process that has a trial's file open."""
    wanted = str(folder / "s" / ".alive" / number)
    for process in processes:
        for link in Path(f"/proc/{process}/fd").iterdir():
            try:
                if str(link.readlink()) == wanted:
                    return process
            except OSError:
                continue
    return None


def kill_one(folder, process):
    """Kill a worker in the middle of a trial; gives the trial's number."""
    while True:
        until(lambda: busy(folder), process)
        for number in busy(folder):
            worker = holder(folder, number, workers_of(process.pid))
            if worker is not None:
                os.kill(worker, signal.SIGKILL)
                return int(number)


def test_every_trial_is_counted_once(tmp_path):
    write_words(tmp_path)
    process = start(tmp_path, *WORDS, "sweep.trials=40", "hydra.run.dir=s")
    until(lambda: len(list(tmp_path.glob("s/trials/*/result.json"))) >= 5, process)
    kill_one(tmp_path, process)
    assert process.wait(1500) == 0, (tmp_path / "err").read_text()
    found = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert [entry["number"] for entry in found["trials"]] == list(range(40))
    assert sum(found["counts"].values()) == 40
    # the one that was killed may have ended its trial as the signal came
    killed = [entry for entry in found["trials"] if entry["state"] == "failed"]
    assert [entry["error"] for entry in killed] in ([], ["its process was killed"])
    said = (tmp_path / "out").read_text()
    assert said.count("a worker ended with code -9") == 1
    for number in range(40):
        assert said.count(f"trial {number}  ") == 1
    complete = [entry for entry in found["trials"] if entry["state"] == "complete"]
    assert found["best"]["value"] == max(entry["value"] for entry in complete)
    assert len({entry["values"]["optimizer.lr"] for entry in found["trials"]}) == 40
    assert not list((tmp_path / "s" / ".alive").iterdir())


def test_a_sweep_whose_first_process_is_killed_goes_on(tmp_path):
    write_words(tmp_path)
    process = start(tmp_path, *WORDS, "sweep.trials=12", "hydra.run.dir=s")
    until(lambda: len(list(tmp_path.glob("s/trials/*/result.json"))) >= 2, process)
    workers = workers_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 60
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < end, "a worker outlived the process that started it"
        time.sleep(0.1)
    assert start(tmp_path, "resume=s").wait(900) == 0, (tmp_path / "err").read_text()
    found = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert [entry["number"] for entry in found["trials"]] == list(range(12))
    assert found["counts"]["running"] == 0
    assert 1 <= found["counts"]["failed"] <= 3
