"""``--cfg job`` refuses what a run would, by the same line, and needs neither data nor torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

BEGIN = ["experiment=g2p"]
MISTAKES = [
    ["cell.hidden_size=-3"],
    ["cell=mgu", "cell.hidden_size=-3"],
    ["cell.hiden_size=3"],
    ["cell.zoneout={hidden: 3}"],
    ["wrapper=stacked", "encoder.wrappers.0.dropout=2"],
    ["head.attention=fo"],
    ["head.metrics=[acc]"],
    ["head.decoder.cell.hidden_size=-3"],
    ["head.decoder.cell.name=lsmt"],
    ["head.decoder.engine=tritn"],
    ["head=joint", "head.heads={phonemes: {name: taging}}"],
    ["engine=tritn"],
    ["encoder.wrappers=[{name: bidirectional, merge_mode: con}]"],
    ["encoder.input_layer={size: 3, activation: tan}"],
    ["encoder.embedding.features={graphemes: {cell: {name: gru, hidden_size: 0}}}"],
    ["encoder.embedding.features={graphemes: {wrappers: [{name: stackd}]}}"],
    ["head=forecast", "head.loss=cubed"],
    ["optimizer.lr=-1"],
    ["scheduler=step", "scheduler.gamma=2"],
    ["trainer.max_epochs=null", "trainer.max_seconds=null"],
    ["scheduler=cosine", "trainer.max_epochs=null", "trainer.max_seconds=60"],
    ["trainer.max_epohcs=3"],
    ["callbacks.early_stopping.patience=-1"],
    ["callbacks.checkpoint.every_n_steps=0"],
    ["+logger.csw=true"],
    ["data.batch_size=0"],
    ["data.features.graphemes.tokenizer=letters"],
    ["encoder.embedding.size=0"],
]


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_the_line_is_that_of_a_run(command, words):
    shown = command("train", *BEGIN, *words, "--cfg", "job")
    assert (shown.code, shown.out, shown.err.count("\n")) == (2, "", 1)
    ran = command("train", *BEGIN, *words)
    assert (ran.code, ran.err) == (2, shown.err)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", *BEGIN, "cell=gru,mgu", "cell.hidden_size=-3"], "encoder.cell.hidden_size: "),
        (["compare", *BEGIN, "cell=gru,lstm", "level=2"], "level: expected"),
        (["sweep", *BEGIN, "cell.hidden_size=-3,5"], "sweep.space (encoder.cell.hidden_size=-3): "),
        (["sweep", *BEGIN, "optimizer.lr=-1"], "optimizer.lr: expected a number above 0"),
        (["sweep", *BEGIN, "sweep.trials=0"], "sweep.trials: expected"),
        (["crossvalidate", *BEGIN, "folds=1"], "folds: expected"),
        (["crossvalidate", *BEGIN, "optimizer.lr=-1"], "optimizer.lr: expected a number above 0"),
        (["rate", *BEGIN, "optimizer.lr=-1"], "optimizer.lr: expected a number above 0"),
        (["evaluate", "split=no"], "split: expected one of"),
        (["predict", "batch_size=0"], "batch_size: expected"),
    ],
)
def test_other_verbs(command, words, message):
    shown = command(*words, "--cfg", "job")
    assert (shown.code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert message in shown.err


@pytest.mark.parametrize(
    "words",
    [
        ["train"],
        ["train", "data=text_label", "head=classification"],
        ["train", "source=files", "source.train=nowhere.csv", "data=text_label"],
        ["train", *BEGIN, "start=nowhere/bundle", "cell.anything=3"],
        ["compare", "cell=gru,lstm"],
        ["sweep"],
        ["sweep", *BEGIN, "cell=gru,lstm"],
        ["sweep", *BEGIN, "cell.hidden_size=-3", "cell.hidden_size=3,5"],  # no trial has the first
        ["crossvalidate", "folds=3"],
        ["evaluate"],
        ["predict"],
        ["generate"],
    ],
    ids=" ".join,
)
def test_what_is_missing_may_be_missing(command, words):
    shown = command(*words, "--cfg", "job")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out


def test_the_encoder_of_a_model_that_is_there_is_looked_at(command, tmp_path):
    (tmp_path / "bundle").mkdir()
    encoder = {"cell": {"name": "gru", "hidden_size": 3}, "wrappers": []}
    (tmp_path / "bundle" / "config.json").write_text(json.dumps({"encoder": encoder}))
    start = ["train", *BEGIN, f"start={tmp_path / 'bundle'}", "--cfg", "job"]
    assert command(*start, "+cell.reset_after=false").code == 0
    refused = command(*start, "cell.hidden_size=-3")
    assert (refused.code, refused.out) == (2, "")
    assert "encoder.cell.hidden_size: expected an int" in refused.err


PROGRAM = """
import sys
from seqlab.cli import main
for words in (["train"], ["compare", "cell=lstm,mgu"], ["sweep", "cell=lstm,mgu"]):
    assert main([*words, "experiment=g2p", "--cfg", "job"]) == 0
heavy = {"torch", "datasets", "pytorch_lightning", "torchmetrics", "seqlab_mgu"} & set(sys.modules)
assert not heavy, heavy
"""


def test_nothing_heavy_is_imported(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
