"""A run from its spec to its folder: what it leaves, prints and refuses."""

from __future__ import annotations

import csv
import json

import pytest
import seqlab
import torch
from seqlab.data.module import DataModule
from seqlab.errors import ConfigError, DataError, RunError
from seqlab.training.run import train

from small_runs import changed, pairs_spec, sentences_spec, words_spec


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One finished run of words: (spec, folder, result)."""
    folder = tmp_path_factory.mktemp("finished")
    spec = words_spec(folder)
    return spec, folder / "run", train(spec, folder / "run")


def test_result_file(finished):
    spec, folder, result = finished
    values = json.loads((folder / "result.json").read_text())
    assert values == result.values
    assert set(values["test"]) == {"accuracy", "macro_f1", "loss"} == set(values["validation"])
    assert values["seconds"] > 0
    assert values["engine"] == "loop"
    assert values["versions"]["seqlab"] == seqlab.__version__
    assert values["steps"] == 30
    assert values["rows"] == {"train": 46, "validation": 14, "test": 11}
    assert values["seed"] == spec["seed"]
    assert result.objective == pytest.approx(values["validation"]["accuracy"])
    model = seqlab.load(folder / "bundle").model
    assert values["parameters"] == sum(p.numel() for p in model.parameters())
    assert values["baseline"]["name"] == "most frequent class"


def test_bundle_holds_the_measured_weights(finished):
    spec, folder, result = finished
    trained = seqlab.load(folder / "bundle")
    data = DataModule(
        seqlab.get("source", "files")(**{k: v for k, v in spec["source"].items() if k != "name"}),
        spec["data"],
        seed=0,
        processor=trained.processor,
    )
    for split in ("test", "validation"):
        rows = [data.rows(split)[i] for i in range(data.sizes[split])]
        answers = [answer["label"] for answer in trained.predict(rows)]
        right = sum(a == row["kind"] for a, row in zip(answers, rows, strict=True))
        assert right / len(rows) == pytest.approx(result.values[split]["accuracy"], abs=1e-6)


def test_metrics_file_has_each_step_once(finished):
    _, folder, result = finished
    with (folder / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    steps = [int(row["step"]) for row in rows]
    assert steps == sorted(set(steps)) == [4, 8, 10, 12, 16, 20, 24, 28, 30]
    assert all(row["train_loss"] for row in rows)
    validated = {int(row["step"]): float(row["val_accuracy"]) for row in rows if row["val_loss"]}
    assert sorted(validated) == [10, 20, 30]
    assert [row["epoch"] for row in rows] == ["1"] * 3 + ["2"] * 3 + ["3"] * 3
    best = result.values["best_step"]
    assert validated[best] == pytest.approx(max(validated.values()))
    assert result.objective == pytest.approx(validated[best], rel=1e-5)


def test_train_loss_is_the_mean_since_the_last_row(tmp_path):
    spec = changed(words_spec(tmp_path), trainer__log_every_n_steps=1, trainer__max_epochs=1)
    train(spec, tmp_path / "every")
    train(changed(spec, trainer__log_every_n_steps=5), tmp_path / "fifth")
    tables = []
    for name in ("every", "fifth"):
        with (tmp_path / name / "metrics.csv").open(newline="") as stream:
            tables.append({int(r["step"]): float(r["train_loss"]) for r in csv.DictReader(stream)})
    every, fifth = tables
    assert len(every) == 10
    assert sorted(fifth) == [5, 10]
    assert fifth[5] == pytest.approx(sum(every[step] for step in range(1, 6)) / 5, rel=1e-5)


def test_folder_of_a_run(finished):
    _, folder, result = finished
    assert sorted(path.name for path in folder.iterdir()) == [
        ".lock",
        "bundle",
        "checkpoints",
        "metrics.csv",
        "result.json",
        "spec.json",
    ]
    best = f"best-{result.values['best_step']:08d}.ckpt"
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == [best, "resume.ckpt"]


def test_output_of_a_run(tmp_path, capsys):
    result = train(sentences_spec(tmp_path), tmp_path / "run")
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert [line.split()[:4] for line in lines[:3]] == [
        ["epoch", "1/3", "step", "10"],
        ["epoch", "2/3", "step", "20"],
        ["epoch", "3/3", "step", "30"],
    ]
    assert all("train_loss" in line and "val_span_f1" in line for line in lines[:3])
    assert "baseline (most frequent tag of each word)" in out
    assert out.count("predicted") == 2
    for name in ("metrics.csv", "result.json", "checkpoints", "bundle"):
        assert str(tmp_path / "run" / name) in out
    assert result.values["baseline"]["accuracy"] == 1.0
    assert result.values["monitor"] == {"name": "span_f1", "mode": "max"}


def test_encoder_decoder_run(tmp_path):
    result = train(pairs_spec(tmp_path), tmp_path / "run")
    assert result.values["monitor"] == {"name": "token_error_rate_capped", "mode": "min"}
    assert "baseline" not in result.values
    assert isinstance(seqlab.load(tmp_path / "run" / "bundle").predict("xyz")[0]["text"], str)


def test_same_seed_same_weights_and_another_seed_others(tmp_path, finished):
    spec, folder, _ = finished
    train(spec, tmp_path / "again")
    train(changed(spec, seed=4), tmp_path / "other")
    weights = [
        (path / "bundle" / "model.safetensors").read_bytes()
        for path in (folder, tmp_path / "again", tmp_path / "other")
    ]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


def test_global_state_is_given_back(tmp_path):
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    torch.set_num_threads(2)
    spec = changed(words_spec(tmp_path), trainer__max_epochs=1)
    train(spec, tmp_path / "run")
    assert torch.get_num_threads() == 2
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert torch.utils.deterministic.fill_uninitialized_memory == filled
    torch.set_num_threads(threads)


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_precision(tmp_path, precision):
    spec = changed(words_spec(tmp_path), trainer__precision=precision, trainer__max_epochs=1)
    train(spec, tmp_path / "run")
    loaded = seqlab.load(tmp_path / "run" / "bundle")
    expected = torch.float64 if precision == "64-true" else torch.float32
    assert {p.dtype for p in loaded.model.parameters()} == {expected}


@pytest.mark.parametrize("name", ["cosine", "warmup", "onecycle", "plateau", "step", "none"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_schedules_in_a_run(tmp_path, name, optimizer):
    spec = changed(
        words_spec(tmp_path),
        scheduler={"name": name},
        optimizer={"name": optimizer, "lr": 0.02},
        trainer__max_epochs=1,
    )
    assert train(spec, tmp_path / "run").values["steps"] == 10


def test_without_test_rows(tmp_path):
    spec = words_spec(tmp_path)
    del spec["source"]["test"]
    result = train(spec, tmp_path / "run")
    assert result.values["test"] == {}
    assert result.values["validation"]["accuracy"] > 0


def test_constraints_and_regularization_reach_training(tmp_path):
    cell = {
        "name": "gru",
        "hidden_size": 6,
        "kernel_constraint": {"name": "max_norm", "max_value": 0.3},
    }
    spec = changed(words_spec(tmp_path), encoder__cell=cell, trainer__max_epochs=1)
    train(spec, tmp_path / "bound")
    for cell_module in seqlab.load(tmp_path / "bound" / "bundle").model.encoder.layer.cells():
        blocks = cell_module.weight_ih.view(3, 6, 4)
        assert blocks.norm(dim=-1).max() < 0.45
    plain = {"name": "gru", "hidden_size": 6}
    heavy = {**plain, "kernel_regularizer": {"name": "l2", "l2": 30.0}}
    norms = []
    for name, cell in (("plain", plain), ("heavy", heavy)):
        train(changed(spec, encoder__cell=cell), tmp_path / name)
        layer = seqlab.load(tmp_path / name / "bundle").model.encoder.layer
        norms.append(sum(cell.weight_ih.detach().norm().item() for cell in layer.cells()))
    assert norms[1] < 0.8 * norms[0]


def test_loss_that_is_not_finite_is_one_line(tmp_path):
    spec = changed(
        words_spec(tmp_path),
        optimizer={"name": "sgd", "lr": 1e38},
        trainer__gradient_clip_val=None,
        trainer__max_epochs=4,
    )
    with pytest.raises(RunError, match=r"training loss became \S+ by step \d+; try a smaller"):
        train(spec, tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"trainer__strategy": "dpp"},
            r"trainer\.strategy: unknown strategy 'dpp': did you mean 'ddp'\?",
        ),
        (
            {"trainer__strategy": "fsdp_cpu_offload"},
            r"trainer.strategy=fsdp_cpu_offload: .*not sup",
        ),
        ({"trainer__val_check_interval": 1000}, r"trainer\.val_check_interval: expected at most"),
        ({"trainer__limit_train_batches": 1e-3}, r"trainer\.limit_train_batches: 0\.001 of"),
        ({"trainer__limit_val_batches": 1e-3}, r"trainer\.limit_val_batches: 0\.001 of"),
        ({"trainer__limit_test_batches": 1e-3}, r"trainer\.limit_test_batches: 0\.001 of"),
    ],
)
def test_options_that_lightning_refuses_are_one_line(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=rf"^{message}.*$"):
        train(changed(words_spec(tmp_path), **changes), tmp_path / "run")


def test_mistakes_in_the_data_leave_nothing_trained(tmp_path):
    spec = words_spec(tmp_path)
    path = tmp_path / "words" / "test.csv"
    path.write_text(path.read_text() + "abc,neither\n")
    with pytest.raises(DataError, match=r"test\.csv line 13: column 'kind': label 'neither'"):
        train(spec, tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.csv").exists()
    assert not (tmp_path / "run" / "bundle").exists()


def test_streaming_data_trains(tmp_path):
    spec = words_spec(tmp_path)
    spec["source"]["streaming"] = True
    assert train(spec, tmp_path / "run").values["steps"] == 30


def test_a_sanity_check_counts_for_nothing(tmp_path):
    spec = changed(words_spec(tmp_path), scheduler={"name": "plateau", "patience": 0})
    train(spec, tmp_path / "without")
    train(changed(spec, trainer__num_sanity_val_steps=1), tmp_path / "with")
    rows, files, results = [], [], []
    for name in ("without", "with"):
        folder = tmp_path / name
        with (folder / "metrics.csv").open(newline="") as stream:
            rows.append([{**row, "seconds": ""} for row in csv.DictReader(stream)])
        files.append(sorted(path.name for path in (folder / "checkpoints").iterdir()))
        result = json.loads((folder / "result.json").read_text())
        results.append({**result, "seconds": 0, "test_seconds": 0})
    assert rows[0] == rows[1]
    assert files[0] == files[1]
    assert results[0] == results[1]
