"""Runs on a GPU from data to bundle: killed and resumed, moved to the CPU, asked there and here."""

from __future__ import annotations

import json
import math

import pytest
import seqlab
import torch
from seqlab.bundle import load
from seqlab.failures import machine_failure
from seqlab.testing.tasks import apart
from seqlab.training.run import train
from seqlab.verbs import doctor, evaluate, export, predict

from killed_runs import KilledError, assert_same, killer, state_of
from small_runs import changed, pairs_spec, sentences_spec, series_spec, words_spec

pytestmark = pytest.mark.gpu

SPECS = {"words": words_spec, "sentences": sentences_spec, "pairs": pairs_spec,
         "series": series_spec}  # fmt: skip
CTC = {"name": "ctc", "upsampling": 2}
#: No dropout, so that cuDNN runs the layers.
FUSED = {"encoder__cell": {"name": "lstm", "hidden_size": 6}}
VERB = {"batch_size": 3, "num_threads": 1, "search": None}
EVALUATE = {**VERB, "batch_size": None, "source": None, "split": "test", "output": None,
            "limit": None}  # fmt: skip


@pytest.fixture(name="on_gpu")
def _on_gpu(device, tmp_path):
    """A spec by its name, to be trained on the device."""

    def made(name, **changes):
        accelerator = "gpu" if device.type == "cuda" else device.type
        spec = SPECS[name](tmp_path)
        return changed(spec, trainer__accelerator=accelerator, **changes)

    return made


def inputs_of(spec):
    """The input column of the test rows."""
    with open(spec["source"]["test"], encoding="utf-8") as lines:  # noqa: PTH123 - a plain path
        rows = lines.read().splitlines()
    if spec["source"]["test"].endswith(".jsonl"):
        column = next(iter(spec["data"]["features"].values()))["column"]
        return [json.loads(row)[column] for row in rows]
    return [row.replace("\t", ",").split(",")[0] for row in rows[1:]]


@pytest.mark.parametrize("name", SPECS)
def test_from_data_to_answers(on_gpu, device, exact_products, tmp_path, name):
    """Trained there; the bundle answers on both devices alike, and measures the same."""
    spec = on_gpu(name)
    result = train(spec, tmp_path / "run")
    bundle = tmp_path / "run" / "bundle"
    here, there = load(bundle), load(bundle, device=device)
    assert here.device.type == "cpu"
    assert there.device.type == device.type
    rows = inputs_of(spec)
    difference = apart(there.predict(rows, batch_size=3), here.predict(rows, batch_size=3))
    assert difference is not None
    assert difference < 1e-3
    measured = {}
    for where in ("cpu", device.type):
        asked = {**EVALUATE, "bundle": str(bundle), "device": where}
        measured[where] = evaluate.run(asked, tmp_path)["test"]
    for metric, value in result.values["test"].items():
        assert measured[device.type][metric] == pytest.approx(value, rel=1e-3, abs=1e-4)
        assert measured["cpu"][metric] == pytest.approx(value, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed", "bf16-true", "64-true"])
@pytest.mark.parametrize("name", SPECS)
def test_other_precisions(on_gpu, device, tmp_path, name, precision):
    if device.type == "cpu" and precision == "16-mixed":
        pytest.skip("needs a GPU")
    result = train(on_gpu(name, trainer__precision=precision), tmp_path / "run")
    assert all(map(math.isfinite, result.values["test"].values()))


@pytest.mark.parametrize("changes", [{}, FUSED], ids=["loop", "vendor"])
@pytest.mark.parametrize("name", ["words", "pairs"])
def test_a_run_repeats_bit_by_bit(on_gpu, tmp_path, name, changes):
    spec = on_gpu(name, **changes)
    train(spec, tmp_path / "first")
    train(spec, tmp_path / "second")
    assert_same(tmp_path / "second", state_of(tmp_path / "first"))


@pytest.mark.parametrize("changes", [{}, FUSED, {"trainer__precision": "16-mixed"}],
                         ids=["loop", "vendor", "16-mixed"])  # fmt: skip
def test_killed_and_resumed_bit_by_bit(on_gpu, device, tmp_path, monkeypatch, changes):
    if device.type == "cpu" and "trainer__precision" in changes:
        pytest.skip("needs a GPU")
    spec, killed_at = on_gpu("words", **changes), killer(monkeypatch)
    train(spec, tmp_path / "whole")
    for hook, count in (("on_train_batch_end", 5), ("on_validation_end", 2)):
        folder = tmp_path / f"{hook}-{count}"
        release = killed_at(hook, count)
        with pytest.raises(KilledError):
            train(spec, folder)
        release()
        train(changed(spec, resume=True), folder)
        assert_same(folder, state_of(tmp_path / "whole"))


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # workers are forks
@pytest.mark.parametrize("name", ["words", "series"])
def test_pinned_batches_of_workers_change_nothing(on_gpu, tmp_path, name):
    spec = on_gpu(name)
    train(spec, tmp_path / "plain")
    workers = changed(spec, data__num_workers=2, data__pin_memory=True)
    train(workers, tmp_path / "workers")
    assert_same(tmp_path / "workers", state_of(tmp_path / "plain"))


def test_pinned_batches_are_pinned(on_gpu, device):
    from seqlab.construct import construct
    from seqlab.data.module import DataModule

    spec = on_gpu("series", data__pin_memory=True)
    data = DataModule(construct("source", spec["source"]), spec["data"], seed=0)
    data.prepare()
    batch = next(iter(data.loader("train")))
    pinned = [tensor.is_pinned() for tensor in (batch.lengths, *batch.inputs.values())]
    assert all(pinned) == (device.type == "cuda")
    assert batch.to(device, non_blocking=True).lengths.device.type == device.type


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("search", ["greedy", {"name": "beam", "width": 3}])
def test_ctc_run(on_gpu, tmp_path, search, deterministic):
    """Torch's CTC gradient on GPUs does not repeat; a run that must repeat takes the CPU's."""
    spec = on_gpu("pairs", head={**CTC, "search": search}, trainer__deterministic=deterministic)
    train(spec, tmp_path / "first")
    if deterministic:
        train(spec, tmp_path / "second")
        assert_same(tmp_path / "second", state_of(tmp_path / "first"))


def test_verbs_take_the_device(on_gpu, device, exact_products, tmp_path, capsys):
    spec = on_gpu("words", trainer__max_epochs=1)
    train(spec, tmp_path / "run")
    bundle = str(tmp_path / "run" / "bundle")
    answers = {}
    for where in ("cpu", "auto" if device.type == "cuda" else "cpu", device.type):
        output = tmp_path / f"{where}.jsonl"
        asked = {**VERB, "bundle": bundle, "input": spec["source"]["test"], "column": None,
                 "output": str(output), "format": None, "device": where}  # fmt: skip
        predict.run(asked, tmp_path)
        answers[where] = [json.loads(row) for row in output.read_text().splitlines()]
    first, *others = answers.values()
    for other in others:
        assert apart(first, other) < 1e-3
    capsys.readouterr()
    assert export.run([f"bundle={bundle}", "format=torch_export"]) == 0
    doctor.run(["device=true"])
    assert ("cuda:0" in capsys.readouterr().out) == (device.type == "cuda")


def test_checkpoint_of_a_gpu_loads_without_one(on_gpu, tmp_path):
    spec = on_gpu("words", trainer__max_epochs=1)
    train(spec, tmp_path / "run")
    saved = torch.load(
        tmp_path / "run" / "checkpoints" / "resume.ckpt", map_location="cpu", weights_only=True
    )
    assert {value.device.type for value in saved["state_dict"].values()} == {"cpu"}
    weights = seqlab.load(tmp_path / "run" / "bundle").model.state_dict()
    assert all(value.device.type == "cpu" for value in weights.values())


def test_resumed_on_the_other_device(on_gpu, device, tmp_path, monkeypatch):
    spec, killed_at = on_gpu("words"), killer(monkeypatch)
    release = killed_at("on_train_batch_end", 12)
    with pytest.raises(KilledError):
        train(spec, tmp_path / "run")
    release()
    moved = changed(spec, resume=True, trainer__accelerator="cpu")
    assert train(moved, tmp_path / "run").values["steps"] == 30


def test_too_little_memory_is_told_in_one_line(device):
    if device.type == "cpu":
        pytest.skip("needs a GPU")
    free = torch.cuda.mem_get_info()[1]
    with pytest.raises(torch.OutOfMemoryError) as caught:
        torch.empty(4 * free, dtype=torch.uint8, device=device)
    failure = str(machine_failure(caught.value))
    assert failure.startswith("out of memory")
    assert "\n" not in failure


def test_a_model_too_large_for_the_gpu_is_refused_before_it_is_made(on_gpu, device, tmp_path):
    if device.type == "cpu":
        pytest.skip("needs a GPU")
    spec = on_gpu("words", encoder__cell={"name": "gru", "hidden_size": 200_000})
    with pytest.raises(seqlab.errors.MachineError, match="out of memory"):
        train(spec, tmp_path / "run")
