"""Two processes that begin with a bundle train as one does that accumulates their batches."""

from __future__ import annotations

import json

import pytest
import seqlab
import torch
from seqlab.training.run import train

from ranks import Ranks
from small_runs import changed, words_spec

pytestmark = pytest.mark.slow
STACK = [{"name": "stacked", "num_layers": 2}]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("started")


@pytest.fixture(scope="module")
def bundle(home):
    """A language model of the words with a stack of two layers."""
    spec = changed(
        words_spec(home), data__target={"kind": "inputs"}, head={"name": "language_model"},
        encoder__wrappers=STACK, trainer__max_epochs=1, seed=8,
    )  # fmt: skip
    train(spec, home / "lm")
    return home / "lm" / "bundle"


@pytest.mark.parametrize(
    "start",
    [
        {"freeze": ["encoder.embedding", "encoder.layer.0"], "decay": 0.5},
        {"unfreeze": "gradual", "rates": {"encoder.embedding": 0.3}},
    ],
    ids=["frozen", "gradual"],
)
def test_two_processes_are_one_with_batches_of_both(home, bundle, tmp_path, start):
    spec = changed(
        words_spec(home), encoder__wrappers=STACK, trainer__precision="64-true",
        start={"bundle": str(bundle), "parts": ["encoder"], **start},
    )  # fmt: skip
    ranks = Ranks(changed(spec, trainer__devices=2, trainer__strategy="ddp"), tmp_path / "two")
    ranks.end()
    assert not ranks.errors.read_text()
    one = train(changed(spec, trainer__accumulate_grad_batches=2), tmp_path / "one").values
    two = json.loads((tmp_path / "two" / "result.json").read_text())
    assert two["start"] == one["start"]
    assert two["steps"] == one["steps"] == 15
    for split in ("validation", "test"):
        assert two[split] == pytest.approx(one[split], rel=1e-6)
    mine, theirs = (
        torch.load(tmp_path / run / "checkpoints" / "resume.ckpt", weights_only=True)["state_dict"]
        for run in ("two", "one")
    )
    begun = seqlab.load(bundle).model.state_dict()
    for name, value in mine.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-9, atol=1e-12)
        if name.startswith("model.encoder.layer.layers."):
            frozen = ".layers.0." in name and "freeze" in start
            same = torch.equal(value, begun[name.removeprefix("model.")].double())
            assert same is frozen, name
