"""Whole models step by step: the answers of whole rows, or a refusal that says why."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.build import build_model
from seqlab.bundle import TrainedModel
from seqlab.data.processor import fit_processor
from seqlab.types import Batch, DataInfo, FeatureInfo, TargetInfo

STACKS = {
    "one": [],
    "stacked": [{"name": "stacked", "num_layers": 2}],
    "residual": [{"name": "residual", "project": True}, {"name": "stacked"}],
}
FEATURES = (FeatureInfo("word", "ids", 9), FeatureInfo("pitch", "numeric", 2))


def model_of(features, target, head, wrappers=(), *, cell="lstm", **encoder):
    spec = {"cell": {"name": cell, "hidden_size": 5}, "wrappers": list(wrappers)}
    torch.manual_seed(0)
    spec = {"encoder": {**spec, "embedding": {"size": 4}, **encoder}, "head": head}
    model = build_model(spec, DataInfo(features, target)).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def inputs_of(features, rows=3, steps=6):
    return {
        f.name: torch.randint(4, f.size, (rows, steps))
        if f.kind == "ids"
        else torch.randn(rows, steps, f.size, dtype=torch.float64)
        for f in features
    }


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("initial", ["zeros", "trained"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "min_gru"])
@pytest.mark.parametrize("name", STACKS)
def test_scores_of_steps_are_those_of_whole_rows(name, cell, initial, count):
    features = FEATURES[:count]
    options = {"initial_state": initial, "input_layer": {"size": 3, "activation": "tanh"}}
    model = model_of(
        features, TargetInfo("tags", 3), {"name": "tagging", "hidden_size": 4},
        STACKS[name], cell=cell, **options,
    )  # fmt: skip
    inputs = inputs_of(features)
    running = model.stream()
    steps = [running.step({n: v[:, t] for n, v in inputs.items()}) for t in range(6)]
    with torch.no_grad():
        encoded = model.encode(Batch(inputs, torch.full((3,), 6)))
        torch.testing.assert_close(torch.stack(steps, 1), model.head.scores(encoded))
    running.reset()
    again = running.step({n: v[:, 0] for n, v in inputs.items()})
    assert torch.equal(again, steps[0])
    assert running.state is not None


@pytest.mark.parametrize("head", [{}, {"tied": True}, {"cutoffs": [5]}])
def test_a_language_model_says_how_probable_what_comes_next_is(head):
    target = TargetInfo("inputs", 9, bos=2, eos=3, feature="word")
    model = model_of(FEATURES[:1], target, {"name": "language_model", **head})
    ids = inputs_of(FEATURES[:1])["word"]
    running = model.stream()
    log_p = torch.stack([running.step({"word": ids[:, t]}) for t in range(6)], 1)
    torch.testing.assert_close(log_p.exp().sum(-1), torch.ones(3, 6, dtype=torch.float64))
    with torch.no_grad():
        encoded = model.encode(Batch({"word": ids}, torch.full((3,), 6)))
        found = model.head.places(encoded, ids)["forward"]
        expected = model.head.log_probabilities("forward", found.context).view(3, 5, -1)
    torch.testing.assert_close(log_p[:, :-1], expected)


TAGS, TEXT = TargetInfo("tags", 3), TargetInfo("inputs", 9, bos=2, eos=3, feature="word")
PAIR = [{"name": "bidirectional"}]
REFUSED = [
    (TAGS, {"name": "tagging"}, PAIR, "Bidirectional cannot be streamed"),
    (TAGS, {"name": "tagging", "crf": True}, [], "a CRF scores the labels of whole rows"),
    (TEXT, {"name": "language_model"}, PAIR, "backward terms need those after it"),
    (TargetInfo("label", 3), {"name": "classification"}, [], "head 'classification' answers whole"),
    (
        TargetInfo("tokens", 9, bos=2, eos=3),
        {"name": "encoder_decoder"},
        [],
        "head 'encoder_decoder' answers whole rows",
    ),
    (TargetInfo("values", 1), {"name": "regression"}, [], "head 'regression' answers whole rows"),
]


@pytest.mark.parametrize(("target", "head", "wrappers", "why"), REFUSED)
def test_a_model_that_needs_the_rows_end_is_refused(target, head, wrappers, why):
    model = model_of(FEATURES[:1], target, head, wrappers)
    with pytest.raises(seqlab.EngineError, match=why):
        model.stream()


def trained(data, rows, head, *, cell="gru"):
    processor = fit_processor(data, rows)
    encoder = {"cell": {"name": cell, "hidden_size": 6}, "embedding": {"size": 5}}
    spec = {"data": data, "encoder": encoder, "head": head}
    torch.manual_seed(0)
    model = build_model(spec, processor.info)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return TrainedModel(model.eval(), processor, spec)


def test_a_bundle_tags_as_it_reads():
    data = {
        "features": {"words": {"column": "words", "kind": "tokens"}},
        "target": {"column": "tags", "kind": "tags"},
    }
    rows = [{"words": ["ann", "runs", "home"], "tags": ["N", "V", "N"]}]
    model = trained(data, rows, {"name": "tagging"})
    (whole,) = model.predict([["ann", "sees", "home", "ann"]])
    running = model.stream()
    for turn in range(2):
        steps = [running.step(word) for word in ("ann", "sees", "home", "ann")]
        assert [step["tag"] for step in steps] == whole["tags"], turn
        assert [step["id"] for step in steps] == whole["ids"]
        assert [step["score"] for step in steps] == pytest.approx(whole["scores"], rel=1e-5)
        running.reset()
    with pytest.raises(seqlab.OptionError, match="next needs a language model"):
        running.next()


def test_a_bundle_scores_a_text_as_it_reads():
    data = {"features": {"text": {"tokenizer": "chars"}}, "target": {"kind": "inputs"}}
    model = trained(data, [{"text": "abcab"}, {"text": "ba"}], {"name": "language_model"})
    (whole,) = model.score(["abca"])
    running = model.stream()
    likely = running.next(2)
    steps = [running.step(letter) for letter in "abca"]
    assert [step["log_probability"] for step in steps] == pytest.approx(whole["forward"], rel=1e-5)
    assert steps[-1]["end"] == pytest.approx(whole["end"], rel=1e-5)
    assert len(likely) == 2
    assert likely[0]["probability"] >= likely[1]["probability"]
    assert {entry["token"] for entry in likely} <= {"a", "b", "c", "<eos>"}
    with pytest.raises(seqlab.DataError, match="expected one step, 'ab' is 2"):
        running.step("ab")


def test_a_bundle_with_numbers_and_words_reads_mappings():
    data = {
        "features": {
            "words": {"column": "words", "kind": "tokens"},
            "series": {"column": "series", "kind": "numeric"},
        },
        "target": {"column": "tags", "kind": "tags"},
    }
    row = {"words": ["a", "b"], "series": [[1.0, 2.0], [3.0, 5.0]], "tags": ["X", "Y"]}
    model = trained(data, [row], {"name": "tagging"})
    (whole,) = model.predict([row])
    running = model.stream()
    steps = [running.step({"words": row["words"][t], "series": row["series"][t]}) for t in (0, 1)]
    assert [step["tag"] for step in steps] == whole["tags"]
    assert [step["score"] for step in steps] == pytest.approx(whole["scores"], rel=1e-5)
