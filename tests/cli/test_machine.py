"""The command where the machine fails it, or beside another run: one line, nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from forked import seqlab

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs the limits of POSIX")
ROWS = "text,label\n" + "".join(
    f"{'good' if i % 2 else 'bad'} {i % 7},{i % 2}\n" for i in range(60)
)
TRAIN = [
    "train",
    "source=files",
    "source.path=rows.csv",
    "data=text_label",
    "head=classification",
    "cell.hidden_size=4",
    "trainer.max_epochs=3",
]
#: The process is gone when its first checkpoint is written, as after a kill.
DIES = """
import os
from seqlab.training.checkpoint_io import AtomicCheckpointIO as IO
save = IO.save_checkpoint
def dying(self, checkpoint, path, *rest, **more):
    save(self, checkpoint, path, *rest, **more)
    if str(path).endswith("resume.ckpt"):
        os._exit(9)
IO.save_checkpoint = dying
"""
#: The process loads its data without end.
LOADS = """
import time
from seqlab.data.module import DataModule
def prepare(self):
    print("loading", flush=True)
    time.sleep(600)
DataModule.prepare = prepare
"""
#: The folder of the run is deleted when its second epoch begins.
LOSES_ITS_FOLDER = """
import shutil
from seqlab.training.module import TrainingModule as Module
def lose(self):
    if self.current_epoch == 1:
        shutil.rmtree("run")
Module.on_train_epoch_start = lose
"""
#: A process that loads data is killed in the second epoch, while batches are waited for.
KILLS_A_WORKER = """
import multiprocessing
from seqlab.training.module import TrainingModule as Module
begin = Module.on_train_batch_start
def kill(self, *given):
    if self.current_epoch == 1:
        for child in multiprocessing.active_children():
            child.kill()
    return begin(self, *given)
Module.on_train_batch_start = kill
"""
#: The folder of the output is deleted when the output is about to take its name.
LOSES_THE_OUTPUT = """
import os, shutil
fsync = os.fsync
def lose(descriptor):
    shutil.rmtree("gone", ignore_errors=True)
    fsync(descriptor)
os.fsync = lose
"""
#: 64 MB of address space beyond what the process has.
LITTLE_MEMORY = """
import resource
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (64 << 20)
resource.setrlimit(resource.RLIMIT_AS, (size, size))
"""
#: What verbs write; the output is the last word.
WRITES = {
    "predict": ["predict", "bundle=run/bundle", "input=in.txt", "output=out.jsonl"],
    "evaluate": ["evaluate", "bundle=run/bundle", "split=train", "output=measured.json"],
    "convert": ["convert", "input=weights.pt", "output=layers"],
    "export": ["export", "bundle=run/bundle", "format=torch_export", "output=graph"],
    "certify": [
        *("certify", "cell=gru", "fast=true", "only=constructor", "format=json"),
        "output=certificate.json",
    ],
}
LIMITED = "import resource; resource.setrlimit(resource.{name}, ({value}, {value}))\n"


def arguments(words, before=""):
    code = f"{before}\nimport sys\nfrom seqlab.cli import main\nsys.exit(main({list(words)!r}))"
    return [sys.executable, "-c", code]


def one_line(outcome):
    """The error of a command that failed as a user expects."""
    assert outcome.returncode == 2, outcome.stdout + outcome.stderr
    errors = [line for line in outcome.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, outcome.stderr
    assert "Traceback" not in outcome.stderr
    return errors[0]


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "rows.csv").write_text(ROWS)
    return tmp_path / "work"


@pytest.fixture(scope="module")
def begun_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("begun") / "work"
    folder.mkdir()
    (folder / "rows.csv").write_text(ROWS)
    outcome = seqlab(folder, *TRAIN, "hydra.run.dir=run", before=DIES)
    assert outcome.returncode == 9, outcome.stderr
    return folder


@pytest.fixture
def begun(begun_once, tmp_path):
    """A folder with rows and a run that was killed after its first checkpoint."""
    return shutil.copytree(begun_once, tmp_path / "begun")


@pytest.fixture(scope="module")
def finished(begun_once, tmp_path_factory):
    folder = shutil.copytree(begun_once, tmp_path_factory.mktemp("finished") / "f")
    outcome = seqlab(folder, "train", "resume=run")
    assert outcome.returncode == 0, outcome.stderr
    (folder / "in.txt").write_text("good 1\n" * 200)
    torch.save(torch.nn.LSTM(8, 64).state_dict(), folder / "weights.pt")
    return folder


@pytest.fixture
def done(finished, tmp_path):
    """A folder with a finished run, and inputs for other verbs."""
    return shutil.copytree(finished, tmp_path / "done")


@pytest.fixture
def mounted(tmp_path):
    """A disk of 16 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(place)]
    if (
        not shutil.which("mount")
        or subprocess.run(command, capture_output=True, check=False).returncode
    ):
        pytest.skip("no disk may be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)  # noqa: S607


def test_a_second_run_changes_nothing_while_the_first_loads_its_data(folder):
    words = [*TRAIN, "hydra.run.dir=run"]
    with subprocess.Popen(
        arguments(words, LOADS), cwd=folder, stdout=subprocess.PIPE, text=True
    ) as first:
        try:
            assert any("loading" in line for line in first.stdout)
            before = contents(folder)
            assert folder / "run" / "spec.json" in before
            for more in ("seed=9", "resume=true"):
                assert "in use by another process" in one_line(seqlab(folder, *words, more))
                assert contents(folder) == before
        finally:
            first.kill()


def test_a_refused_resume_changes_nothing(begun):
    before = contents(begun)
    for more in ("seed=1", "cell.hidden_size=5"):
        outcome = seqlab(begun, *TRAIN, "hydra.run.dir=run", "resume=true", more)
        assert "the run was begun with" in one_line(outcome)
        assert contents(begun) == before


def test_the_folder_alone_resumes_a_run(finished):
    assert (finished / "run" / "result.json").is_file()
    assert (finished / "run" / "bundle" / "model.safetensors").is_file()
    before = contents(finished / "run")
    assert "finished run" in one_line(seqlab(finished, "train", "resume=run"))
    assert contents(finished / "run") == before


@pytest.mark.parametrize("size", [10**9, 10**19])
def test_a_model_too_large_for_the_machine(folder, size):
    error = one_line(seqlab(folder, *TRAIN, "hydra.run.dir=run", f"cell.hidden_size={size}"))
    assert "hidden_size" in error or "memory" in error
    assert len(error) < 500
    assert not (folder / "run").exists()


def test_a_folder_deleted_during_the_run(folder):
    outcome = seqlab(folder, *TRAIN, "hydra.run.dir=run", before=LOSES_ITS_FOLDER)
    assert "run" in one_line(outcome)


def test_files_of_a_run_that_become_too_large(folder):
    limit = LIMITED.format(name="RLIMIT_FSIZE", value=20_000)
    outcome = seqlab(folder, *TRAIN, "hydra.run.dir=run", "cell.hidden_size=64", before=limit)
    assert "cannot write" in one_line(outcome)
    assert list(folder.rglob("*.tmp*")) == []


@pytest.mark.parametrize("verb", WRITES)
def test_what_becomes_too_large_leaves_the_old(done, verb):
    target = done / WRITES[verb][-1].partition("=")[2]
    marks = {"convert": "layers.json", "export": "export.json"}  # of a folder that may be replaced
    old = target if target.suffix else target / marks[verb]
    old.parent.mkdir(exist_ok=True)
    old.write_text('{"bundle": "earlier"}')
    before = contents(done)
    limit = LIMITED.format(name="RLIMIT_FSIZE", value=100)
    error = one_line(seqlab(done, *WRITES[verb], before=limit, stdout="/dev/null"))
    assert error.startswith(f"error: cannot write {target.name}")
    assert "File too large" in error
    assert contents(done) == before


@pytest.mark.parametrize("verb", ["predict", "evaluate", "convert"])
def test_a_folder_that_vanishes_before_the_output_is_written(done, verb):
    *words, output = WRITES[verb]
    name = output.partition("=")[2]
    words = [*words, f"output=gone/{name}"]
    assert f"cannot write gone/{name}" in one_line(seqlab(done, *words, before=LOSES_THE_OUTPUT))
    assert not (done / "gone").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux")
@pytest.mark.parametrize(
    "words",
    [["list"], ["train", "--help"], [*WRITES["predict"][:-1], "output=-"], WRITES["convert"]],
    ids=lambda words: words[0],
)
def test_standard_output_without_room(done, words):
    error = one_line(seqlab(done, *words, stdout="/dev/full"))
    assert error.startswith("error: cannot write the output: No space left on device")


def test_closed_streams():
    """No file of the command's own gets the number of a stream that was closed."""
    command = [sys.executable, "-m", "seqlab", "list", "kind=merge"]
    closed = f"{' '.join(command)} <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", closed], check=False).returncode == 0  # noqa: S607


def test_a_reader_that_goes(done):
    words = [*WRITES["predict"][:-1], "output=-", "batch_size=1"]
    with subprocess.Popen(
        arguments(words), cwd=done, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (141, "")


def test_a_model_too_large_for_the_memory_granted(folder):
    words = [*TRAIN, "hydra.run.dir=run", "cell.hidden_size=2000"]
    error = one_line(seqlab(folder, *words, before=LITTLE_MEMORY))
    assert "out of memory" in error
    assert "MB" in error
    assert not (folder / "run").exists()


def test_no_room_on_the_disk(done, mounted):
    (mounted / "out.jsonl").write_text("old")
    words = [*WRITES["predict"][:-1], f"output={mounted / 'out.jsonl'}"]
    error = one_line(seqlab(done, *words))
    assert f"cannot write {mounted / 'out.jsonl'}: No space left on device" in error
    assert contents(mounted) == {mounted / "out.jsonl": b"old"}
    words = [*TRAIN, f"hydra.run.dir={mounted / 'run'}"]
    assert f"cannot write {mounted / 'run'}" in one_line(seqlab(done, *words))
    assert not (mounted / "run").exists()


@pytest.mark.parametrize(
    ("handles", "workers", "enough"), [(16, 0, True), (32, 2, True), (14, 2, False)]
)
def test_few_file_handles(folder, handles, workers, enough):
    limit = LIMITED.format(name="RLIMIT_NOFILE", value=handles)
    words = [*TRAIN, "hydra.run.dir=run", f"data.num_workers={workers}"]
    outcome = seqlab(folder, *words, before=limit)
    if enough:
        assert outcome.returncode == 0, outcome.stderr
    else:
        assert "too many open files" in one_line(outcome)
        assert not (folder / "run").exists()


def test_a_killed_worker(folder):
    words = [*TRAIN, "hydra.run.dir=run", "data.num_workers=1", "data.batch_size=2"]
    words += ["callbacks.checkpoint.every_n_steps=5"]
    error = one_line(seqlab(folder, *words, before=KILLS_A_WORKER))
    assert "a worker process that loads data was killed" in error
    assert error.endswith(f"resume={folder / 'run'}")
    outcome = seqlab(folder, "train", "resume=run")
    assert outcome.returncode == 0, outcome.stderr
    assert "resuming at step" in outcome.stdout
