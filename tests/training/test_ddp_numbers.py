"""Several processes train as one does that accumulates their batches; FSDP is refused on a CPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from seqlab.errors import ConfigError
from seqlab.training.run import train

from killed_runs import assert_same, state_of
from small_runs import changed, words_spec

#: The spec is read, not made: the second process runs this again.
SCRIPT = """
import json, sys
from seqlab.training.run import train

if __name__ == "__main__":
    train(json.load(open(sys.argv[1])), sys.argv[2])
"""


@pytest.fixture(name="spec")
def _spec(tmp_path):
    """A run with noise of every kind, in double precision; ten batches an epoch."""
    return changed(
        words_spec(tmp_path), trainer__precision="64-true", trainer__max_epochs=4,
        callbacks__checkpoint__every_n_steps=3,
    )  # fmt: skip


def of_two(spec):
    return changed(spec, trainer__devices=2, trainer__strategy="ddp")


def start(folder, spec, run):
    """Begin a run of several processes."""
    name = f"{run}.json"
    (folder / name).write_text(json.dumps(spec))
    (folder / "script.py").write_text(SCRIPT)
    hidden = ("LOCAL_RANK", "RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    with (folder / "out").open("a") as out, (folder / "err").open("a") as err:
        return subprocess.Popen(
            [sys.executable, "script.py", name, run], cwd=folder, stdout=out, stderr=err,
            start_new_session=True, env={**environment, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip


def weights(folder):
    return torch.load(folder / "checkpoints" / "resume.ckpt", weights_only=True)["state_dict"]


@pytest.mark.slow
def test_two_processes_are_one_with_batches_of_both(spec, tmp_path):
    assert start(tmp_path, of_two(spec), "two").wait(280) == 0, (tmp_path / "err").read_text()
    one = train(changed(spec, trainer__accumulate_grad_batches=2), tmp_path / "one")
    two = json.loads((tmp_path / "two" / "result.json").read_text())
    assert two["steps"] == one.values["steps"] == 20
    mine, theirs = weights(tmp_path / "two"), weights(tmp_path / "one")
    # bidirectional GRU, dropout in four places: all drawn alike
    for name, value in mine.items():
        assert torch.allclose(value, theirs[name], rtol=1e-9, atol=1e-12), name
    for split in ("validation", "test"):
        assert two[split] == pytest.approx(one.values[split], rel=1e-6)


def of_shards(spec):
    """The same rows in three files, read as a stream: each process has its own."""
    train = Path(spec["source"]["train"])
    head, *rows = train.read_text("utf-8").splitlines()
    paths = []
    for number, part in enumerate((rows[:7], rows[7:30], rows[30:])):
        paths.append(str(train.with_name(f"train-{number}.csv")))
        Path(paths[-1]).write_text("\n".join([head, *part]) + "\n", "utf-8")
    return changed(spec, source__train=paths, source__streaming=True, data__shards=True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="kills a session")
@pytest.mark.parametrize("shards", [False, True], ids=["rows in turns", "rows by shards"])
def test_a_killed_run_of_two_processes_ends_as_the_unbroken_one(spec, tmp_path, shards):
    spec = of_two(of_shards(spec) if shards else spec)
    assert start(tmp_path, spec, "whole").wait(280) == 0, (tmp_path / "err").read_text()
    expected = state_of(tmp_path / "whole")
    process = start(tmp_path, changed(spec, trainer__max_epochs=4), "killed")
    checkpoint = tmp_path / "killed" / "checkpoints" / "resume.ckpt"
    end = time.monotonic() + 240
    while not checkpoint.exists():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "result.json").exists()
    resumed = changed(spec, resume=str(tmp_path / "killed"))
    assert start(tmp_path, resumed, "again").wait(280) == 0, (tmp_path / "err").read_text()
    assert "resuming at step" in (tmp_path / "out").read_text()
    assert_same(tmp_path / "killed", expected)


def test_fsdp_is_refused_on_a_cpu(spec, tmp_path):
    with pytest.raises(ConfigError, match=r"^trainer.strategy=fsdp: .* use trainer=ddp"):
        train(changed(spec, trainer__devices=2, trainer__strategy="fsdp"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_noise_of_a_batch_is_the_same_whoever_trains_on_it(spec, tmp_path, monkeypatch):
    """One process draws for batch 2 i + r of an epoch what process r of two draws for its i-th."""
    from types import SimpleNamespace

    from seqlab.training import module as module_of

    drawn = []
    monkeypatch.setattr(module_of, "reseed", lambda *numbers: drawn.append(numbers))
    model = SimpleNamespace(loss=lambda *_: torch.zeros(()), new_carry=lambda: None)

    def numbers(world, rank, batch):
        trainer = SimpleNamespace(current_epoch=1, world_size=world, global_rank=rank)
        one = SimpleNamespace(
            trainer=trainer, options=SimpleNamespace(seed=5), model=model, carry=None,
            meter=SimpleNamespace(add=lambda _: None),
        )  # fmt: skip
        module_of.TrainingModule.training_step(one, None, batch)
        return drawn.pop()

    assert [numbers(2, batch % 2, batch // 2) for batch in range(6)] == [
        numbers(1, 0, batch) for batch in range(6)
    ]
