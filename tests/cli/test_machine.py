"""The command where the machine fails it, or beside another run: one line, nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

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
#: A process that loads data is killed when the first batch is trained on.
KILLS_A_WORKER = """
import multiprocessing
from seqlab.training.module import TrainingModule as Module
begin = Module.on_train_batch_start
def kill(self, *given):
    for child in multiprocessing.active_children():
        child.kill()
    return begin(self, *given)
Module.on_train_batch_start = kill
"""
LIMITED = "import resource; resource.setrlimit(resource.{name}, ({value}, {value}))\n"


def arguments(words, before=""):
    code = f"{before}\nimport sys\nfrom seqlab.cli import main\nsys.exit(main({list(words)!r}))"
    return [sys.executable, "-c", code]


def seqlab(folder, *words, before=""):
    """The command in a process of its own, after some Python."""
    return subprocess.run(
        arguments(words, before),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )


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
    (tmp_path / "rows.csv").write_text(ROWS)
    return tmp_path


@pytest.fixture(scope="module")
def begun_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("begun")
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
    return folder


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


def test_answers_that_become_too_large(finished, tmp_path):
    (tmp_path / "in.txt").write_text("good 1\n" * 200)
    words = ["predict", f"bundle={finished / 'run' / 'bundle'}", "input=in.txt"]
    limit = LIMITED.format(name="RLIMIT_FSIZE", value=2000)
    outcome = seqlab(tmp_path, *words, "output=out.jsonl", before=limit)
    assert "out.jsonl" in one_line(outcome)


def test_too_few_file_handles(folder):
    limit = LIMITED.format(name="RLIMIT_NOFILE", value=24)
    outcome = seqlab(
        folder, *TRAIN, "hydra.run.dir=run", "data.num_workers=2", before=f"import torch\n{limit}"
    )
    assert "too many open files" in one_line(outcome)


def test_a_killed_worker(folder):
    words = [*TRAIN, "hydra.run.dir=run", "data.num_workers=1", "data.batch_size=2"]
    outcome = seqlab(folder, *words, before=KILLS_A_WORKER)
    assert "a worker process that loads data was killed" in one_line(outcome)
