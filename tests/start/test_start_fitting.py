"""Weights into the places of others: entries by name, sizes block by block."""

from __future__ import annotations

import pytest
import seqlab
import torch
from seqlab.build import build_model
from seqlab.data.tokenizers.build import build_tokenizer
from seqlab.data.tokenizers.marks import INPUT_MARKS, TARGET_MARKS
from seqlab.errors import OptionError
from seqlab.start.axes import Axis, entry_axes, target_axis
from seqlab.start.parts import known_parts, levels, tensors_of
from seqlab.start.sizes import blocks, overlap
from seqlab.start.spec import StartSpec
from seqlab.start.training_plan import plan_of
from seqlab.types import DataInfo, FeatureInfo, TargetInfo

TEXT = (FeatureInfo("text", "ids", 9), FeatureInfo("pitch", "numeric", 2))


def spec(head, cell=None, wrappers=()):
    cell = cell or {"name": "lstm", "hidden_size": 4}
    encoder = {"cell": cell, "wrappers": list(wrappers), "embedding": {"size": 3}}
    return {"encoder": encoder, "head": head}


def test_axes_of_entries_are_found_in_heads_that_do_not_name_them():
    tags = TargetInfo("tags", 4, ("O", "B-X", "I-X", "B-Y"))
    found = entry_axes(
        spec({"name": "tagging", "crf": True, "scheme": "iob2"}), DataInfo(TEXT, tags)
    )
    assert found == {
        "encoder.embeddings.0.weight": {0: Axis("text")},
        "head.classifier.output.weight": {0: Axis(target_axis(""))},
        "head.classifier.output.bias": {0: Axis(target_axis(""))},
        "head.crf.start": {0: Axis(target_axis(""))},
        "head.crf.end": {0: Axis(target_axis(""))},
        "head.crf.transitions": {0: Axis(target_axis("")), 1: Axis(target_axis(""))},
    }


def test_a_vocabulary_that_is_predicted_too_has_both_its_axes():
    target = TargetInfo("inputs", 9, bos=2, eos=3, feature="text")
    info = DataInfo(TEXT[:1], target)
    found = entry_axes(spec({"name": "language_model"}), info)
    assert found["encoder.embeddings.0.weight"] == {0: Axis("text")}
    scores = {name for name in found if name.startswith("head.")}
    assert scores
    assert all(found[name] == {0: Axis("text")} for name in scores)
    # clusters have no place of its own for each entry
    clusters = entry_axes(spec({"name": "language_model", "cutoffs": [6]}), info)
    inexact = [axis for axes in clusters.values() for axis in axes.values() if not axis.exact]
    assert inexact


def test_axes_are_those_of_entries_even_where_other_sizes_are_equal():
    target = TargetInfo("label", 4, ("a", "b", "c", "d"))
    info = DataInfo((FeatureInfo("text", "ids", 4),), target)
    found = entry_axes(spec({"name": "classification", "hidden_size": 4}), info)
    assert found["head.classifier.output.weight"] == {0: Axis(target_axis(""))}
    assert not any(name.startswith("head.classifier.hidden") for name in found)
    assert not any(name.startswith("encoder.layer") for name in found)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_blocks_are_gates_and_directions(cell):
    wrappers = [{"name": "bidirectional"}, {"name": "stacked", "num_layers": 2}]
    info = DataInfo(TEXT, TargetInfo("label", 2, ("a", "b")))
    model = build_model(
        spec({"name": "classification"}, {"name": cell, "hidden_size": 5}, wrappers), info
    )
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[cell]
    upper = "encoder.layer.layers.1.backward_layer.cell"
    assert blocks(model, f"{upper}.weight_ih", 0) == (5,) * gates
    assert blocks(model, f"{upper}.weight_ih", 1) == (5, 5)
    assert blocks(model, f"{upper}.weight_hh", 1) == (5,)
    assert blocks(model, f"{upper}.bias", 0) == (5,) * gates
    assert blocks(model, "encoder.layer.layers.0.forward_layer.cell.weight_ih", 1) == (5,)
    assert blocks(model, "head.classifier.output.weight", 1) in [(5,) * 2, (5,) * 4]


def test_a_larger_layer_without_weights_from_elsewhere_computes_what_the_smaller_did():
    torch.manual_seed(0)
    small, large = seqlab.LSTM(3, 4), seqlab.LSTM(3, 7)
    with torch.no_grad():
        for (name, mine), other in zip(large.named_parameters(), small.parameters(), strict=True):
            mine.zero_()
            rows = overlap((7,) * 4, (4,) * 4)
            columns = overlap((mine.shape[-1],), (other.shape[-1],))
            if mine.dim() == 1:
                mine[rows[0]] = other[rows[1]]
            else:
                mine[rows[0][:, None], columns[0]] = other[rows[1][:, None], columns[1]]
            assert name
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(large(x)[0][..., :4], small(x)[0])


def test_parts_have_names_and_levels():
    wrappers = [{"name": "stacked", "num_layers": 3}, {"name": "bidirectional"}]
    info = DataInfo(TEXT, TargetInfo("label", 2, ("a", "b")))
    model = build_model(spec({"name": "classification"}, wrappers=wrappers), info)
    known = known_parts(model)
    assert {"encoder.embedding.text", "encoder.layer.2", "head.classifier"} <= set(known)
    every = [name for part in ("encoder", "head") for name in tensors_of(model, part, "here")]
    assert sorted(every) == sorted(model.state_dict())
    assert sorted(name for level in levels(model) for name in level) == sorted(every)
    # both directions of a level together
    assert len(tensors_of(model, "encoder.layer.1", "here")) == 2 * 3


def test_the_inner_part_says_more():
    info = DataInfo(TEXT, TargetInfo("label", 2, ("a", "b")))
    wrappers = [{"name": "stacked", "num_layers": 2}]
    model = build_model(spec({"name": "classification"}, wrappers=wrappers), info)
    given = StartSpec(freeze=["encoder"], unfreeze={"encoder.layer.1": 3}, decay=0.5)
    plan = plan_of(given, model)
    upper = "encoder.layer.layers.1.cell.weight_ih"
    assert not plan.trains(upper, 2)
    assert plan.trains(upper, 3)
    assert not plan.ever_trains("encoder.layer.layers.0.cell.weight_ih")
    assert plan.rates[upper] == 0.5
    assert plan.rates["encoder.embeddings.0.weight"] == 0.125
    assert "head.classifier.output.weight" not in plan.rates


CORPUS = [["the cat sat", "the dog sat on the mat"], ["a cat"]]
NEW = [["the bird sang", "a bird"]]


@pytest.mark.parametrize("name", ["words", "chars", "bpe", "unigram", "wordpiece"])
def test_a_vocabulary_goes_on_from_an_earlier_one(name):
    earlier = build_tokenizer(name, TARGET_MARKS, takes="text")
    earlier.learn(lambda: CORPUS)
    grown, kept = (build_tokenizer(name, INPUT_MARKS, takes="text") for _ in range(2))
    for tokenizer, grow in ((grown, True), (kept, False)):
        tokenizer.learn(lambda: NEW)
        own = {tokenizer.entry(i) for i in range(len(INPUT_MARKS), tokenizer.size)}
        tokenizer.go_on_from(earlier, grow=grow)
        first, last = len(INPUT_MARKS), len(INPUT_MARKS) + earlier.size - len(TARGET_MARKS)
        theirs = [earlier.entry(i) for i in range(len(TARGET_MARKS), earlier.size)]
        assert [tokenizer.entry(i) for i in range(first, last)] == theirs
        more = [tokenizer.entry(i) for i in range(last, tokenizer.size)]
        assert set(more) == (own - set(theirs) if grow and tokenizer.grows else set())
        # what it writes it reads
        again = build_tokenizer(name, INPUT_MARKS, takes="text")
        again.restore(tokenizer.content())
        texts = ["the bird sat on a zebra"]
        assert again.encode(texts).values.tolist() == tokenizer.encode(texts).values.tolist()


def test_vocabularies_that_do_not_go_together_are_told():
    words = build_tokenizer("words", takes="text")
    words.learn(lambda: CORPUS)
    tokens = build_tokenizer("tokens", takes="tokens")
    tokens.learn(lambda: [[["a", "b"]]])
    tokens.go_on_from(words, grow=True)  # whole words both
    assert tokens.size == words.size + 1
    lower = build_tokenizer({"name": "words", "lowercase": True}, takes="text")
    lower.learn(lambda: CORPUS)
    with pytest.raises(OptionError, match="lowercase is True, and the vocabulary"):
        lower.go_on_from(words, grow=True)
    chars = build_tokenizer("chars", takes="text")
    chars.learn(lambda: CORPUS)
    with pytest.raises(OptionError, match="tokenizer 'chars' cannot go on"):
        chars.go_on_from(words, grow=True)
