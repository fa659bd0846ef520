"""Several processes train as one does that accumulates their batches."""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path

import pytest
import torch
from seqlab.training.run import train

from killed_runs import assert_same, state_of
from ranks import Ranks
from small_runs import changed, sentences_spec, words_spec


@pytest.fixture(name="home", scope="module")
def _home(tmp_path_factory):
    return tmp_path_factory.mktemp("numbers")


@pytest.fixture(name="spec", scope="module")
def _spec(home):
    """A run with noise of every kind, in double precision; ten batches an epoch."""
    return changed(
        words_spec(home), trainer__precision="64-true", trainer__max_epochs=2,
        callbacks__checkpoint__every_n_steps=3,
    )  # fmt: skip


def of_two(spec):
    return changed(spec, trainer__devices=2, trainer__strategy="ddp")


def weights(folder):
    return torch.load(folder / "checkpoints" / "resume.ckpt", weights_only=True)["state_dict"]


def of_shards(spec):
    """The same rows in three files, read as a stream: each process has its own."""
    train = Path(spec["source"]["train"])
    head, *rows = train.read_text("utf-8").splitlines()
    paths = []
    for number, part in enumerate((rows[:7], rows[7:30], rows[30:])):
        paths.append(str(train.with_name(f"train-{number}.csv")))
        Path(paths[-1]).write_text("\n".join([head, *part]) + "\n", "utf-8")
    return changed(spec, source__train=paths, source__streaming=True, data__shards=True)


@pytest.fixture(name="whole", scope="module")
def _whole(spec, home):
    """The unbroken run of two processes, by the way they share rows; trained when asked for."""

    @functools.cache
    def run(shards):
        given = of_two(of_shards(spec) if shards else spec)
        Ranks(given, home / f"whole-{shards}").end()
        return given, home / f"whole-{shards}"

    return run


@pytest.mark.slow
def test_two_processes_are_one_with_batches_of_both(spec, home, whole):
    _, folder = whole(shards=False)
    one = train(changed(spec, trainer__accumulate_grad_batches=2), home / "one")
    two = json.loads((folder / "result.json").read_text())
    assert two["steps"] == one.values["steps"] == 10
    mine, theirs = weights(folder), weights(home / "one")
    # bidirectional GRU, dropout in four places: all drawn alike
    for name, value in mine.items():
        assert torch.allclose(value, theirs[name], rtol=1e-9, atol=1e-12), name
    for split in ("validation", "test"):
        assert two[split] == pytest.approx(one.values[split], rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("shards", [False, True], ids=["turns", "shards"])
def test_a_killed_run_of_two_processes_ends_as_the_unbroken_one(tmp_path, whole, shards):
    spec, folder = whole(shards=shards)
    expected = state_of(folder)
    killed = Ranks(spec, tmp_path / "killed")
    checkpoint = tmp_path / "killed" / "checkpoints" / "resume.ckpt"
    end = time.monotonic() + 240
    while not checkpoint.exists():
        assert time.monotonic() < end
        assert killed.run, killed.errors.read_text()
        time.sleep(0.001)
    killed.kill()
    assert not (tmp_path / "killed" / "result.json").exists()
    again = Ranks(changed(spec, resume=str(tmp_path / "killed")), tmp_path / "again")
    again.end()
    assert "resuming at step" in again.said.read_text()
    assert_same(tmp_path / "killed", expected)


@pytest.mark.slow
def test_a_parameter_without_a_gradient_in_some_batches_is_waited_for_by_nobody(spec, tmp_path):
    """Clusters of an adaptive softmax, of which a word has some."""
    spec = changed(
        spec, data__target={"kind": "inputs"}, encoder__wrappers=[], data__batch_size=1,
        head={"name": "language_model", "cutoffs": [5, 7]}, trainer__max_epochs=1,
        encoder__cell={"name": "gru", "hidden_size": 16},
    )  # fmt: skip
    Ranks(of_two(spec), tmp_path / "two").end()
    train(changed(spec, trainer__accumulate_grad_batches=2), tmp_path / "one")
    mine, theirs = weights(tmp_path / "two"), weights(tmp_path / "one")
    for name, value in mine.items():
        assert torch.allclose(value, theirs[name], rtol=1e-9, atol=1e-12), name


@pytest.mark.slow
def test_the_first_process_measures_the_baseline_alone(tmp_path):
    """The others have ended by then, and spans of chunk labels are a metric of torchmetrics."""
    spec = changed(sentences_spec(tmp_path), trainer__max_epochs=1)
    Ranks(of_two(spec), tmp_path / "two").end()
    one = train(changed(spec, trainer__accumulate_grad_batches=2), tmp_path / "one").values
    two = json.loads((tmp_path / "two" / "result.json").read_text())
    assert two["baseline"] == one["baseline"]
    assert "span_f1" in two["baseline"]
    assert two["test"] == pytest.approx(one["test"], rel=1e-5)


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
