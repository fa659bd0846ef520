"""Values at the edge of what a processor takes: numbers, marks, Unicode forms, separators."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from processor_specs import SENTENCES, TAGGING, spec_of
from seqlab.data.processor import Processor, fit_processor
from seqlab.errors import DataError

LETTERS = st.text(alphabet="abcß Ωx\n", min_size=1, max_size=8)


@settings(deadline=None, max_examples=50)
@given(st.lists(LETTERS, min_size=1, max_size=7), st.sampled_from(["chars", "words", "bpe"]))
def test_encoding_one_by_one_equals_encoding_all_at_once(texts, tokenizer):
    spec = {
        "features": {"text": {"column": "t", "tokenizer": tokenizer}},
        "target": {"column": "t", "kind": "text", "tokenizer": "chars"},
        "allow_empty": True,
    }
    rows = [{"t": text} for text in texts]
    processor = fit_processor(spec, rows)
    together = processor.encode_columns({"t": texts}, str).batch(np.arange(len(texts)))
    one_by_one = processor.collate([processor.encode(row) for row in rows])
    assert torch.equal(together.inputs["text"], one_by_one.inputs["text"])
    assert torch.equal(together.target, one_by_one.target)
    assert torch.equal(together.lengths, one_by_one.lengths)
    for index, text in enumerate(texts):
        ids = together.target[index, : together.target_lengths[index]].tolist()
        assert processor.decode_target(ids) == text


def test_numbers_beyond_float32_are_refused_where_they_stand():
    rows = [{"x": [1.0, 2.0], "y": "a"}, {"x": [1.0, 1e300], "y": "a"}]
    message = r"train row 2: column 'x': expected finite numbers within float32's range \(up to"
    for options in ({}, {"standardize": False}):
        with pytest.raises(DataError, match=message):
            fit_processor(spec_of("label", **options), rows)
    with pytest.raises(DataError, match=r"train row 1: column 'x': .*range"):
        fit_processor(spec_of("label"), [{"x": [[1.0, 3e38], [0.0, -4e38]], "y": "a"}])


def test_numbers_that_scaling_makes_too_large_are_refused():
    rows = [{"x": [[1e-5, 0.0], [2e-5, 0.0]], "y": "a"}]
    processor = fit_processor(spec_of("label"), rows)
    columns = {"x": [rows[0]["x"], [[1e-5, 0.0]] * 3 + [[3e37, 0.0]]], "y": ["a", "a"]}
    with pytest.raises(
        DataError, match=r"row 1: column 'x': .* after scaling by the training rows"
    ):
        processor.encode_columns(columns, "row {}".format)
    large = fit_processor(spec_of("label"), [{"x": [3e38, -3e38, 3.4e38], "y": "a"}])
    assert np.isfinite(large.features[0].std).all()
    assert np.isfinite(large.encode_input([3e38]).inputs["x"]).all()


@pytest.mark.parametrize("value", [1e39, -1e300, 10**400, [0.0, 1e39], "1e39"])
def test_values_to_predict_are_within_float32(value):
    size = len(value) if isinstance(value, list) else 1
    processor = fit_processor(spec_of("values"), [{"x": [1.0], "y": [0.0] * size}])
    with pytest.raises(DataError, match=r"row: column 'y': expected finite numbers within float32"):
        processor.encode({"x": [1.0], "y": value})


def test_whole_numbers_beyond_64_bits_are_numbers():
    processor = fit_processor(spec_of("values"), [{"x": [10**30, 0], "y": 10**20}])
    assert np.isfinite(processor.encode_input([10**30]).inputs["x"]).all()
    with pytest.raises(DataError, match="column 'x'"):
        processor.encode_input([10**40])


@pytest.mark.parametrize("tokenizer", ["words", "chars", "bpe", "unigram", "wordpiece"])
def test_literal_marks_in_texts_references_and_tokens(tokenizer, tmp_path):
    spec = {
        "features": {"text": {"column": "x", "tokenizer": tokenizer}},
        "target": {"column": "y", "kind": "text", "tokenizer": tokenizer, "references": "r"},
    }
    row = {"x": "<pad> <bos> a", "y": "x <eos> z <unk>", "r": ["x <eos> z <unk>", "<eos>"]}
    fit_processor(spec, [row] * 3).save(tmp_path)
    processor = Processor.load(tmp_path)
    example = processor.encode(row)
    assert example.inputs["text"].min() >= 2
    assert example.target.min() >= 4
    eos = processor.info.target.eos
    assert processor.decode_target([*example.target, eos]) == row["y"]
    assert [processor.decode_target(ids) for ids in example.references] == row["r"]
    assert processor.decode_input(example.inputs["text"]) == row["x"]


def test_literal_marks_as_tokens_tags_and_labels():
    rows = [{"tokens": ["<pad>", "<eos>", "a"], "tags": ["<unk>", "<pad>", "<bos>"]}]
    processor = fit_processor(TAGGING, rows)
    batch = processor.collate([processor.encode(rows[0])])
    assert batch.inputs["words"].min() >= 2
    assert processor.decode_input(batch.inputs["words"][0]) == rows[0]["tokens"]
    assert processor.decode_target(batch.target[0]) == rows[0]["tags"]
    labels = fit_processor(spec_of("label"), [{"x": [1.0], "y": y} for y in ("<pad>", "<eos>")])
    assert labels.decode_target(labels.encode({"x": [1.0], "y": "<eos>"}).target) == "<eos>"


def test_tokens_in_another_unicode_form_are_known():
    rows = [{"tokens": ["caf\u00e9"], "tags": ["N"]}]
    processor = fit_processor(TAGGING, rows)
    composed, apart = (processor.encode_input([t]) for t in ("caf\u00e9", "cafe\u0301"))
    for name in composed.inputs:
        assert composed.inputs[name].tolist() == apart.inputs[name].tolist() != [1]


def test_a_vocabulary_of_marks_alone_is_refused_with_its_column():
    spec = {**TAGGING, "features": {"words": {**TAGGING["features"]["words"]}}}
    spec["features"]["words"]["tokenizer"] = {"min_count": 9}
    with pytest.raises(DataError, match=r"column 'tokens': tokenizer: min_count=9 leaves nothing"):
        fit_processor(spec, SENTENCES)


CELLS = ["sport;politics", "sport", "politics", "", " sport ; politics;"]


def test_labels_with_a_separator(tmp_path):
    spec = spec_of("labels")
    spec["target"]["separator"] = ";"
    fit_processor(spec, [{"x": [1.0], "y": cell} for cell in CELLS]).save(tmp_path)
    processor = Processor.load(tmp_path)
    assert processor.info.target.names == ("politics", "sport")
    found = [processor.encode({"x": [1.0], "y": cell}).target.tolist() for cell in CELLS]
    assert found == [[1, 1], [0, 1], [1, 0], [0, 0], [1, 1]]
    assert processor.encode({"x": [1.0], "y": ["sport"]}).target.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("kind", "cells", "advice"),
    [
        ("label", CELLS[:3], "give data.target.kind=labels 'data.target.separator=\";\"'"),
        ("labels", CELLS[:3], "labels, give 'data.target.separator=\";\"'"),
        ("label", ["a|b", "b|a|c", "c"], 'separator="|"\''),
        ("label", ["red, green", "green, blue", "blue, red"], 'separator=","\''),
    ],
)
def test_one_class_that_looks_like_several_is_doubted(kind, cells, advice):
    with pytest.warns(UserWarning, match=r"column 'y': .* is taken for one class of") as caught:
        fit_processor(spec_of(kind), [{"x": [1.0], "y": cell} for cell in cells])
    assert advice in str(caught[0].message)


@pytest.mark.parametrize("cells", [["Smith, John", "Miller, Ann"], ["a;b", "c"], [";", "a"], ["a"]])
def test_names_with_commas_are_not_doubted(cells):
    processor = fit_processor(spec_of("label"), [{"x": [1.0], "y": cell} for cell in cells])
    assert set(processor.info.target.names) == set(cells)


def test_many_inputs_at_once_are_those_one_by_one():
    spec = {
        "features": {"text": {"column": "word", "tokenizer": "chars"}},
        "target": {"column": "kind", "kind": "label"},
    }
    processor = fit_processor(spec, [{"word": "abba", "kind": "x"}, {"word": "b", "kind": "y"}])
    values = ["ab", {"word": "bb"}, "", "a"]
    many = processor.encode_inputs(values, "input {}".format)
    for place, value in enumerate(values):
        alone = processor.encode_input(value)
        assert many.example(place).inputs["text"].tolist() == alone.inputs["text"].tolist()
    with pytest.raises(DataError, match="input 1: column 'word' is missing"):
        processor.encode_inputs(["a", {"other": "b"}], "input {}".format)


def test_numbers_may_be_written_as_text():
    spec = {"features": {"x": {"kind": "numeric", "standardize": False}}}
    spec["target"] = {"column": "y", "kind": "values"}
    processor = fit_processor(spec, [{"x": ["1.5", "-2"], "y": ["3", 4]}])
    example = processor.encode({"x": ["1.5", "-2"], "y": [3, 4]})
    np.testing.assert_array_equal(example.inputs["x"], [[1.5], [-2.0]])
