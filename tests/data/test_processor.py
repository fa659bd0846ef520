import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from processor_specs import SENTENCES, SPEAKING, TAGGING, WORDS, spec_of
from seqlab.data.processor import Processor, fit_processor
from seqlab.errors import BundleError, DataError
from seqlab.types import FeatureInfo


def test_tags_and_several_features_of_one_column():
    processor = fit_processor(TAGGING, SENTENCES)
    assert [f.name for f in processor.info.features] == ["words", "tail", "shape"]
    assert processor.info.target.names == ("D", "N", "V")
    batch = processor.collate([processor.encode(row) for row in SENTENCES])
    assert batch.lengths.tolist() == [3, 2]
    assert batch.target.tolist() == [[0, 1, 2], [1, 2, 0]]
    assert batch.target_lengths is None
    assert batch.rows.tolist() == [0, 1]
    assert {name: x.shape for name, x in batch.inputs.items()} == dict.fromkeys(
        ("words", "tail", "shape"), (2, 3)
    )
    shapes = batch.inputs["shape"][0].tolist()
    assert processor.decode_input(shapes, "shape") == ["Aa", "a", "a"]
    assert processor.decode_target([2, 0]) == ["V", "D"]


def test_text_targets_with_references():
    processor = fit_processor(SPEAKING, WORDS)
    info = processor.info.target
    assert (info.kind, info.bos, info.eos, info.size) == ("tokens", 2, 3, 4 + 6)
    batch = processor.collate([processor.encode(row) for row in WORDS])
    assert batch.target_lengths.tolist() == [6, 2]
    assert batch.target.shape == (2, 6)
    assert batch.target[1, 2:].tolist() == [0] * 4
    assert [len(answers) for answers in batch.references] == [1, 2]
    said = [processor.decode_target(ids) for ids in batch.references[1]]
    assert said == ["T UW", "T AH"]
    ids = [*batch.references[0][0], info.eos, 5, 5]
    assert processor.decode_target(ids) == "T AH M EY T OW"
    assert processor.decode_target(torch.tensor(ids)) == "T AH M EY T OW"
    assert processor.decode_input(batch.inputs["text"][0].tolist()) == "tomato"


def test_one_label_a_row_with_numbers_in_order():
    rows = [{"x": [1.0], "y": label} for label in (10, 9, 2, 9)]
    processor = fit_processor(spec_of("label"), rows)
    assert processor.info.target.names == ("2", "9", "10")
    batch = processor.collate([processor.encode(row) for row in rows])
    assert batch.target.tolist() == [2, 1, 0, 1]
    assert batch.target.dtype == torch.int64
    assert processor.decode_target(batch.target[0]) == "10"


def test_any_number_of_labels_a_row():
    rows = [{"x": [1.0], "y": ["b", "a"]}, {"x": [2.0], "y": []}, {"x": [2.0], "y": "a"}]
    processor = fit_processor(spec_of("labels"), rows)
    batch = processor.collate([processor.encode(row) for row in rows])
    assert batch.target.tolist() == [[1, 1], [0, 0], [1, 0]]
    assert batch.target.dtype == torch.float32
    assert processor.decode_target([1]) == ["b"]


@pytest.mark.parametrize(("value", "size"), [(1.5, 1), ([1.5, -2], 2), ("1.5", 1)])
def test_numbers_as_target(value, size):
    processor = fit_processor(spec_of("values"), [{"x": [1.0], "y": value}])
    batch = processor.collate([processor.encode({"x": [1.0], "y": value})])
    assert batch.target.shape == (1, size)
    assert batch.target.dtype == torch.float32
    assert processor.decode_target(batch.target[0])[0] == 1.5


def test_numeric_series_are_standardised_by_the_training_rows_only():
    random = np.random.default_rng(3)
    rows = [
        {"x": (random.normal(5.0, 3.0, (length, 2)) * [1, 100]).tolist(), "y": "a"}
        for length in (4, 9, 2)
    ]
    processor = fit_processor(spec_of("label"), rows)
    assert processor.info.features == (FeatureInfo("x", "numeric", 2),)
    batch = processor.collate([processor.encode(row) for row in rows])
    steps = torch.cat([batch.inputs["x"][i, :n] for i, n in enumerate(batch.lengths)])
    torch.testing.assert_close(steps.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(steps.std(0, correction=0), torch.ones(2))
    other = processor.encode_input([[5.0, 500.0]])
    back = processor.decode_input(other.inputs["x"])
    np.testing.assert_allclose(back, [[5.0, 500.0]], rtol=1e-5)


def test_a_constant_channel_and_no_standardisation():
    rows = [{"x": [[7.0, 1.0], [7.0, 3.0]], "y": "a"}]
    processor = fit_processor(spec_of("label"), rows)
    assert processor.encode(rows[0]).inputs["x"].tolist() == [[0.0, -1.0], [0.0, 1.0]]
    plain = fit_processor(spec_of("label", standardize=False), rows)
    assert plain.encode(rows[0]).inputs["x"].tolist() == rows[0]["x"]


@pytest.mark.parametrize("text", ["0.5 1 -2e1", "0.5, 1,-20", "[0.5, 1, -20]"])
def test_numbers_written_in_a_cell(text):
    processor = fit_processor(spec_of("label"), [{"x": [0.5, 1.0, -20.0], "y": "a"}])
    expected = processor.encode_input([0.5, 1.0, -20.0]).inputs["x"]
    assert processor.encode_input(text).inputs["x"].tolist() == expected.tolist()


def test_vocabulary_and_labels_come_from_training_rows_alone():
    processor = fit_processor(TAGGING, SENTENCES)
    size = processor.info.features[0].size
    example = processor.encode({"tokens": ["The", "cat"], "tags": ["D", "N"]})
    assert example.inputs["words"].tolist()[1] == 1
    assert processor.info.features[0].size == size == 2 + 5


@pytest.mark.parametrize("spec_rows", [(TAGGING, SENTENCES), (SPEAKING, WORDS)])
def test_save_and_load_give_the_same_processor(spec_rows, tmp_path):
    spec, rows = spec_rows
    processor = fit_processor({**spec, "max_length": 5, "batch_size": 9}, rows)
    processor.save(tmp_path)
    loaded = Processor.load(tmp_path)
    assert loaded.info == processor.info
    assert loaded.spec == processor.spec
    for row in rows:
        first, second = processor.encode(row), loaded.encode(row)
        assert first.references == second.references
        assert first.target.tolist() == second.target.tolist()
        for name in first.inputs:
            assert first.inputs[name].tolist() == second.inputs[name].tolist()
    again = tmp_path / "again"
    again.mkdir()
    loaded.save(again)
    for file in tmp_path.glob("*.json"):
        assert (again / file.name).read_bytes() == file.read_bytes()


def test_the_files_have_the_bundles_names(tmp_path):
    fit_processor(TAGGING, SENTENCES).save(tmp_path)
    names = {"processor.json", "tokenizer.json", "tokenizer.tail.json", "tokenizer.shape.json"}
    assert {file.name for file in tmp_path.iterdir()} == names | {"labels.json"}
    other = tmp_path / "speaking"
    other.mkdir()
    fit_processor(SPEAKING, WORDS).save(other)
    names = {"processor.json", "tokenizer.json", "target_tokenizer.json"}
    assert {file.name for file in other.iterdir()} == names


def test_numeric_statistics_survive_saving_to_the_last_digit(tmp_path):
    rows = [{"x": [0.1, 0.2, 0.7], "y": 1.0}]
    processor = fit_processor(spec_of("values"), rows)
    processor.save(tmp_path)
    loaded = Processor.load(tmp_path)
    assert loaded.features[0].mean.tolist() == processor.features[0].mean.tolist()
    assert loaded.features[0].std.tolist() == processor.features[0].std.tolist()


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("processor.json", {"format": 3}, "format 3, expected 2"),
        ("processor.json", {"data": {}}, "data.features: no value was given"),
        ("processor.json", {"data": 7}, "data: expected a mapping, got 7"),
        ("processor.json", {"format": 1, "data": 7}, "data: expected a mapping, got 7"),
        ("processor.json", {"statistics": {}}, "feature 'x': expected a mapping, got null"),
        ("processor.json", {"statistics": {"x": {"mean": [1], "std": [0]}}}, "a number above 0"),
        ("processor.json", {"statistics": {"x": {"mean": [1], "std": [1, 2]}}}, "one number a"),
        ("labels.json", {"kind": "tags"}, "kind 'tags', expected 'label'"),
        ("labels.json", {"names": "ab"}, "names: expected a list"),
        ("labels.json", {"names": ["a", "a"]}, "each once"),
    ],
)
def test_tampered_files_are_refused(file, change, message, tmp_path):
    fit_processor(spec_of("label"), [{"x": [1.0, 2.0], "y": "a"}]).save(tmp_path)
    path = tmp_path / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BundleError, match=message):
        Processor.load(tmp_path)


def test_an_empty_folder_is_no_processor(tmp_path):
    with pytest.raises(BundleError, match=r"processor\.json: no such file"):
        Processor.load(tmp_path)


def test_inputs_to_predict():
    tagging = fit_processor(TAGGING, SENTENCES)
    for value in ("The dog", ["The", "dog"], {"tokens": ["The", "dog"]}):
        example = tagging.encode_input(value)
        assert example.target is None
        assert tagging.decode_input(example.inputs["words"]) == ["The", "dog"]
    assert tagging.encode_input("").length == 0
    batch = tagging.collate([tagging.encode_input(""), tagging.encode_input("The dog")])
    assert batch.lengths.tolist() == [0, 2]
    assert batch.target is None
    empty = tagging.collate([tagging.encode_input("")])
    assert empty.inputs["words"].shape == (1, 0)
    series = fit_processor(spec_of("label"), [{"x": [[1.0, 2.0]], "y": "a"}])
    assert series.encode_input([]).inputs["x"].shape == (0, 2)


def test_features_of_different_columns_need_a_mapping():
    spec = {
        "features": {"a": {"kind": "tokens"}, "b": {"kind": "tokens"}},
        "target": {"column": "y", "kind": "label"},
    }
    processor = fit_processor(spec, [{"a": ["x"], "b": ["y"], "y": "z"}])
    with pytest.raises(DataError, match="expected a mapping with the columns a, b, found 'x'"):
        processor.encode_input("x")
    with pytest.raises(DataError, match="line 4: column 'b' is missing; there are a"):
        processor.encode_input({"a": ["x"]}, where="line 4")
    message = "feature 'a' has 1 steps and feature 'b' 2"
    with pytest.raises(DataError, match=message):
        processor.encode({"a": ["x"], "b": ["x", "y"], "y": "z"})


def test_max_length_cuts_inputs_and_tags_together():
    processor = fit_processor({**TAGGING, "max_length": 2}, SENTENCES)
    batch = processor.collate([processor.encode(row) for row in SENTENCES])
    assert batch.lengths.tolist() == [2, 2]
    assert batch.target.tolist() == [[0, 1], [1, 2]]
    with pytest.raises(DataError, match="has 2 tags for 3 steps"):
        processor.encode({"tokens": ["a", "b", "c"], "tags": ["D", "N"]})


BAD_ROWS = [
    (TAGGING, {"tokens": ["a"]}, "column 'tags' is missing; there are tokens"),
    (TAGGING, {"tokens": ["a", 3], "tags": ["D", "N"]}, "column 'tokens': expected a list of"),
    (TAGGING, {"tokens": None, "tags": ["D"]}, "a list of strings, found nothing (null)"),
    (TAGGING, {"tokens": ["a", "b"], "tags": ["D"]}, "column 'tags' has 1 tags for 2 steps in"),
    (TAGGING, {"tokens": ["a"], "tags": ["X"]}, "tag 'X' does not occur in the training rows"),
    (TAGGING, {"tokens": [], "tags": []}, "column 'tokens' is empty, so there is nothing"),
    (SPEAKING, {"word": 7, "phonemes": "T"}, "column 'word': expected text, found 7"),
    (SPEAKING, {"word": "a\ud800", "phonemes": "T"}, "expected text in valid Unicode"),
    (SPEAKING, {"word": "", "phonemes": "T"}, "column 'word' is empty"),
    (
        SPEAKING,
        {"word": "a", "phonemes": ["T"]},
        "column 'phonemes': expected text (a list of accepted answers needs data.target",
    ),
    (SPEAKING, {"word": "a", "phonemes": "T", "references": []}, "a list of accepted answers"),
    (spec_of("label"), {"x": [1.0], "y": "b"}, "label 'b' does not occur in the training rows"),
    (spec_of("label"), {"x": [1.0], "y": "b"}, "; trained with unseen=wrong, its target counts"),
    (spec_of("label"), {"x": [1.0], "y": ""}, "a label (text or a whole number), found ''"),
    (spec_of("label"), {"x": [1.0], "y": 2.5}, "a label (text or a whole number), found 2.5"),
    (spec_of("label"), {"x": ["a"], "y": "a"}, "column 'x': expected a series of numbers"),
    (spec_of("label"), {"x": [[1.0], [1, 2]], "y": "a"}, "expected a series of numbers"),
    (spec_of("label"), {"x": [[1.0, 2.0]], "y": "a"}, "1 channels as in the training rows"),
    (
        spec_of("label"),
        {"x": [1.0, float("nan")], "y": "a"},
        "expected finite numbers within float32's range (up to 3.4e+38)",
    ),
    (spec_of("label"), {"x": [True], "y": "a"}, "expected a series of numbers"),
    (spec_of("label"), {"x": [], "y": "a"}, "column 'x' is empty"),
    (spec_of("labels"), {"x": [1.0], "y": 3}, "column 'y': expected a list of labels, found 3"),
    (spec_of("values"), {"x": [1.0], "y": "a"}, "a number or a list of numbers, found 'a'"),
    (spec_of("values"), {"x": [1.0], "y": "4,5"}, "found '4,5'; write decimals with a point"),
    (spec_of("label"), {"x": ["1", "-,5"], "y": "a"}, "'-,5']; write decimals with a point"),
    (spec_of("values"), {"x": [1.0], "y": [1, 2]}, "expected 1 numbers, found [1, 2]"),
    (spec_of("values"), {"x": [1.0], "y": float("inf")}, "(up to 3.4e+38), found inf"),
]


@pytest.mark.parametrize(("spec", "row", "message"), BAD_ROWS)
def test_bad_rows_are_refused_in_one_line_that_says_where(spec, row, message):
    kind = spec["target"]["kind"]
    good = {"tags": SENTENCES, "text": WORDS}.get(kind) or [
        {"x": [1.0, 2.0], "y": {"label": "a", "labels": ["a"], "values": 1.0}[kind]}
    ]
    processor = fit_processor(spec, good)
    with pytest.raises(DataError) as caught:
        processor.encode(row, where="a.jsonl line 7")
    assert message in str(caught.value)
    assert str(caught.value).startswith("a.jsonl line 7: ")
    assert "\n" not in str(caught.value)


def test_empty_inputs_are_accepted_when_asked_for():
    processor = fit_processor({**TAGGING, "allow_empty": True}, SENTENCES)
    assert processor.encode({"tokens": [], "tags": []}).length == 0


def test_training_rows_are_named_when_fitting():
    with pytest.raises(DataError, match="train row 2: column 'tags' is missing"):
        fit_processor(TAGGING, [SENTENCES[0], {"tokens": ["a"]}])
    with pytest.raises(DataError, match="train row 2: column 'tokens': expected a list"):
        fit_processor(TAGGING, [SENTENCES[0], {"tokens": 3, "tags": ["N"]}])
    with pytest.raises(DataError, match="the training split has no rows"):
        fit_processor(TAGGING, [])


def test_a_processor_needs_neither_datasets_nor_lightning_nor_hydra():
    script = (
        "import sys, seqlab.data.processor\n"
        "print([m for m in ('datasets', 'pytorch_lightning', 'hydra', 'pyarrow') "
        "if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
