"""A run that begins with a finished model: what it takes, what it trains, and when."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import seqlab
import torch
from seqlab.errors import BundleError, ConfigError, SeqlabError
from seqlab.training.run import train

from killed_runs import KilledError, assert_same, killer, state_of
from small_runs import changed, sentences_spec, words_spec

STACK = [{"name": "stacked", "num_layers": 2}]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("started")


@pytest.fixture(scope="module")
def language_model(home):
    spec = changed(
        words_spec(home),
        data__target={"kind": "inputs"},
        head={"name": "language_model"},
        encoder__wrappers=STACK,
        trainer__max_epochs=1,
        seed=8,
    )
    train(spec, home / "lm")
    return home / "lm" / "bundle"


@pytest.fixture(scope="module")
def classifier(home, language_model):
    spec = changed(words_spec(home), encoder__wrappers=STACK)
    return {**spec, "start": {"bundle": str(language_model), "parts": ["encoder"]}}


def weights(bundle: Path) -> dict[str, torch.Tensor]:
    return seqlab.load(bundle).model.state_dict()


def test_a_frozen_encoder_stays_as_it_was_and_the_head_learns(
    home, language_model, classifier, capsys
):
    spec = changed(classifier, start__freeze=["encoder"], trainer__max_epochs=2)
    result = train(spec, home / "frozen")
    before, after = weights(language_model), weights(home / "frozen" / "bundle")
    for name, value in after.items():
        if name.startswith("encoder.layer"):
            assert torch.equal(value, before[name]), name
    # the entries have other ids: no <bos>, no <eos>
    mine = seqlab.load(home / "frozen" / "bundle").processor.features[0].tokenizer
    theirs = seqlab.load(language_model).processor.features[0].tokenizer
    assert mine.size == theirs.size - 2
    tables = [w["encoder.embeddings.0.weight"] for w in (after, before)]
    for index in range(mine.size):
        other = next(i for i in range(theirs.size) if theirs.entry(i) == mine.entry(index))
        assert torch.equal(tables[0][index], tables[1][other])
    spread = result.values["start"]
    head = sum(v.numel() for n, v in after.items() if n.startswith("head."))
    assert spread["new"] == head
    assert spread["taken"] == result.values["parameters"] - head
    said = capsys.readouterr().out
    assert "encoder.layer.1" in said
    assert "not in start.parts" in said


def test_gradual_unfreezing_trains_one_more_level_each_epoch(home, classifier, monkeypatch):
    from seqlab.training.module import TrainingModule

    trained = []
    step = TrainingModule.training_step

    def watched(self, batch, batch_idx):
        named = self.model.named_parameters()
        trained.append((self.current_epoch, {n for n, p in named if p.requires_grad}))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(TrainingModule, "training_step", watched)
    train(changed(classifier, start__unfreeze="gradual", trainer__max_epochs=4), home / "gradual")

    def part(name):
        return ".".join(name.split(".")[:4]) if "layers" in name else name.split(".")[0]

    parts = [set(map(part, names)) for _, names in trained[::10]]
    top, bottom = "encoder.layer.layers.1", "encoder.layer.layers.0"
    assert parts[0] == {"head"}
    assert parts[1] == {"head", top}
    assert parts[2] == {"head", top, bottom}
    assert "encoder.embeddings.0.weight" in trained[-1][1]
    assert all(names == trained[epoch * 10][1] for epoch, names in trained)


def test_killed_and_resumed_it_ends_bit_identical(home, classifier, monkeypatch):
    spec = changed(
        classifier,
        start__freeze=["encoder.embedding"],
        start__unfreeze={"encoder.layer.1": 2, "encoder.layer.0": 3},
        start__decay=0.5,
        scheduler={"name": "cosine"},
    )
    train(spec, home / "whole")
    reference = state_of(home / "whole")
    # inside the epoch that has begun to train one level more
    release = killer(monkeypatch)("on_train_batch_end", 16)
    with pytest.raises(KilledError):
        train(spec, home / "killed")
    release()
    train(changed(spec, resume=True), home / "killed")
    assert_same(home / "killed", reference)


def test_new_labels_and_a_grown_vocabulary_keep_what_is_known(home):
    spec = changed(
        sentences_spec(home), head={"name": "tagging", "crf": True, "scheme": "iob2"},
        trainer__max_epochs=1,
    )  # fmt: skip
    train(spec, home / "tagger")
    source = dict(spec["source"])
    for split in ("train", "validation", "test"):
        path = Path(source[split])
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for row in rows:
            row["words"].append("milan")
            row["marks"].append("B-ORG")
        source[split] = str(path.with_name(f"new-{path.name}"))
        Path(source[split]).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    new = changed(spec, source=source, trainer__max_steps=1)
    new["start"] = str(home / "tagger" / "bundle")
    new["optimizer"] = {"name": "sgd", "lr": 1e-12}
    train(new, home / "retagged")
    first, second = (seqlab.load(home / run / "bundle") for run in ("tagger", "retagged"))
    assert "milan" not in first.processor.features[0].tokenizer.content()["model"]["vocab"]
    known, names = first.processor.info.target.names, second.processor.info.target.names
    assert set(names) - set(known) == {"B-ORG"}
    places = torch.tensor([names.index(name) for name in known])
    one, two = first.model.state_dict(), second.model.state_dict()
    for name in ("head.classifier.output.weight", "head.crf.start"):
        torch.testing.assert_close(two[name][places], one[name])
    pairs = two["head.crf.transitions"][places][:, places]
    torch.testing.assert_close(pairs, one["head.crf.transitions"])
    # the known words have their ids and their vectors
    old = one["encoder.embeddings.0.weight"]
    torch.testing.assert_close(two["encoder.embeddings.0.weight"][: len(old)], old)


WRONG = {
    "a part": ({"start__parts": ["encodr"]}, "no part 'encodr', did you mean 'encoder'"),
    "another head": ({"start__parts": ["encoder", "head"]}, "head of .* is 'language_model'"),
    "another size": ({"encoder__cell__hidden_size": 7}, "21 x 4 here and 18 x 4 in"),
    "another cell": ({"encoder__cell": {"name": "lstm", "hidden_size": 6}}, "'gru' in .* 'lstm'"),
    "another meaning": ({"encoder__cell__activation": "relu"}, "cell.activation is 'tanh' in"),
    "another input": ({"encoder__embedding__size": 5}, r"reads text \(ids, 4\)"),
    "nothing left": ({"start__freeze": ["encoder", "head"]}, "nothing is trained"),
    "nothing taken": ({"encoder__wrappers": [{"name": "bidirectional"}]}, "nothing of 'enc"),
    "other pieces": ({"data__features__text__tokenizer": "words"}, "start.vocabulary=new"),
    "no bundle": ({"start__bundle": "nowhere"}, "no bundle at nowhere"),
    "a rate": ({"start__decay": 0}, r"start.decay: expected a number in \(0, 1\]"),
    "an epoch": ({"start__unfreeze": {"head": 0}}, "start.unfreeze"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_one_line(home, classifier, case):
    changes, message = WRONG[case]
    spec = changed(classifier, **changes)
    if case == "nothing taken":
        spec["start"]["parts"] = ["encoder.layer"]
    with pytest.raises((ConfigError, BundleError), match=message) as caught:
        train(spec, home / "wrong")
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, SeqlabError)


def test_rates_of_parts_reach_the_optimiser_and_its_schedule(home, classifier):
    spec = changed(
        classifier,
        start__decay=0.5,
        start__rates={"encoder": 0.1, "encoder.embedding.text": 2.0},
        scheduler={"name": "step", "step_size": 1, "gamma": 0.1},
        trainer__max_epochs=2,
    )
    train(spec, home / "rates")
    state = torch.load(home / "rates" / "checkpoints" / "resume.ckpt", weights_only=True)
    rates = {group["initial_lr"] for group in state["optimizer_states"][0]["param_groups"]}
    expected = {0.02, 0.02 * 0.5 * 0.1, 0.02 * 0.25 * 0.1, 0.02 * 0.125 * 2}
    assert sorted(rates) == pytest.approx(sorted(expected))
    for group in state["optimizer_states"][0]["param_groups"]:
        assert group["lr"] == pytest.approx(group["initial_lr"] * 0.01)
