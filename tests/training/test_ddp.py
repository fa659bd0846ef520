"""Two processes on the CPU: one run, one folder, all rows counted once."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
import seqlab
import torch
from seqlab.data.module import DataModule
from seqlab.errors import DataError
from seqlab.training.loaders import EvaluationBatches, RunData, TrainBatches
from seqlab.training.trainer import run_length

from ranks import Ranks
from small_runs import changed, words_spec


def test_two_processes_train_one_model(tmp_path):
    spec = changed(
        words_spec(tmp_path),
        trainer__devices=2,
        trainer__strategy="ddp",
        trainer__max_epochs=2,
        encoder__dropout=0.0,
    )
    ranks = Ranks(spec, tmp_path / "run")
    ranks.end()
    assert not ranks.errors.read_text()
    said = ranks.said.read_text()
    assert said.count("epoch 1/2") == 1
    first, second = re.findall("^objective (.*)$", said, re.MULTILINE)
    assert first == second
    values = json.loads((tmp_path / "run" / "result.json").read_text())
    # 10 batches an epoch, 5 a process
    assert values["steps"] == 10
    assert sorted(p.name for p in (tmp_path / "run").iterdir() if not p.name.startswith(".")) == [
        "bundle",
        "checkpoints",
        "metrics.csv",
        "result.json",
        "spec.json",
    ]
    # the reduced metrics are those of all rows, each counted once
    trained = seqlab.load(tmp_path / "run" / "bundle")
    source = seqlab.get("source", "files")(test=spec["source"]["test"])
    data = DataModule(source, spec["data"], seed=0, processor=trained.processor)
    data.prepare(["test"])
    rows = [data.rows("test")[i] for i in range(data.sizes["test"])]
    answers = [answer["label"] for answer in trained.predict(rows)]
    right = sum(a == row["kind"] for a, row in zip(answers, rows, strict=True))
    assert values["test"]["accuracy"] == pytest.approx(right / len(rows), abs=1e-6)


@pytest.fixture
def data(tmp_path):
    spec = words_spec(tmp_path)
    paths = {key: value for key, value in spec["source"].items() if key != "name"}
    module = DataModule(seqlab.get("source", "files")(**paths), spec["data"], seed=3)
    module.prepare()
    return module


def rows_of(batches):
    return [row for batch in batches for row in batch.rows.tolist()]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_share_batches_without_overlap(data, world):
    shares = [
        TrainBatches(data, lambda: (1, 0), lambda rank=rank: (rank, world)) for rank in range(world)
    ]
    assert {len(share) for share in shares} == {10 // world}
    rows = [rows_of(share) for share in shares]
    assert len(set().union(*rows)) == sum(map(len, rows))
    tests = [
        EvaluationBatches(data, "test", lambda rank=rank: (rank, world)) for rank in range(world)
    ]
    assert sorted(row for share in tests for row in rows_of(share)) == list(range(11))
    assert [len(share) for share in tests] == [len(list(share)) for share in tests]


def test_batches_go_on_from_a_position(data):
    whole = list(TrainBatches(data, lambda: (2, 0), lambda: (1, 2)))
    rest = list(TrainBatches(data, lambda: (2, 3), lambda: (1, 2)))
    assert len(rest) == 2
    for mine, expected in zip(rest, whole[3:], strict=True):
        assert torch.equal(mine.rows, expected.rows)
        assert torch.equal(mine.inputs["text"], expected.inputs["text"])


def test_an_overfitted_run_sees_the_same_batches_again(data):
    passes = [
        rows_of(TrainBatches(data, lambda epoch=epoch: (epoch, 0), lambda: (0, 1), overfit=2))
        for epoch in (0, 1)
    ]
    assert passes[0] == passes[1]
    assert len(passes[0]) == 10


def test_more_processes_than_batches_to_test_on(data):
    trainer = SimpleNamespace(world_size=4)
    with pytest.raises(DataError, match=r"the (validation|test) rows make 3 batches for 4 proc"):
        RunData(data, trainer)


def test_more_processes_than_batches():
    with pytest.raises(DataError, match="fewer batches than there are processes"):
        run_length({"trainer": {}}, 0)
