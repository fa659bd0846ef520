"""Characters inside words, and texts of a length of their own."""

from __future__ import annotations

import json

import numpy as np
import pytest
import seqlab
from seqlab.cli import main
from seqlab.data.data_spec import DataSpec
from seqlab.data.features.pieces import SpellingFeature, WholeTextFeature
from seqlab.data.processor import fit_processor
from seqlab.errors import ConfigError, DataError

where = "line {}".format
ROWS = [
    {"w": ["aba", "b"], "t": "one two three", "y": ["x", "y"], "year": 1990, "kind": "novel"},
    {"w": "abbabbaab b a", "t": "", "y": ["x", "y", "y"], "year": 2001, "kind": "poem"},
]
SPEC = {
    "features": {
        "w": {"kind": "tokens"},
        "letters": {"column": "w", "kind": "spelling", "longest": 5},
        "t": {"kind": "whole_text", "longest": 2},
        "year": {"kind": "numeric", "role": "row"},
        "kind": {"kind": "tokens", "role": "row"},
    },
    "target": {"column": "y", "kind": "tags"},
}


def test_letters_are_those_of_each_word_and_long_words_keep_their_ends():
    feature = SpellingFeature("l", "w", longest=5)
    feature.fit(lambda: [([["abcdefgh", "b"]], where)])
    found = feature.encode([["abcdefgh", "xb", ""], []], where)
    assert found.lengths.tolist() == [3, 0]
    assert found.values.dtype == np.int16
    (long, short, empty) = found.row(0)
    assert feature.decode([long, short, empty]) == ["abcgh", "<unk>b", ""]
    assert short.tolist()[0] == 2
    assert empty.tolist() == [0] * 6
    assert feature.info.size == 2 + 8


def test_a_text_is_cut_behind_its_first_pieces():
    feature = WholeTextFeature("t", "t", longest=2)
    feature.fit(lambda: [(["one two three"], where)])
    found = feature.encode(["three one two", ""], where)
    assert found.lengths.tolist() == [1, 1]
    assert [feature.decode(found.row(row)) for row in (0, 1)] == ["three one", ""]


def test_all_kinds_of_inputs_stand_in_one_batch():
    processor = fit_processor(SPEC, ROWS)
    batch = processor.collate([processor.encode(row) for row in ROWS])
    shapes = {name: tuple(value.shape) for name, value in batch.inputs.items()}
    assert shapes == {
        "w": (2, 3),
        "letters": (2, 3, 6),
        "t": (2, 1, 3),
        "year": (2, 1, 1),
        "kind": (2, 1),
    }
    assert batch.inputs["letters"][:, :, 0].tolist() == [[3, 1, 0], [5, 1, 1]]
    assert batch.inputs["t"][:, 0, 0].tolist() == [2, 0]


def test_bad_values_are_named_by_row():
    processor = fit_processor(SPEC, ROWS)
    for column, value, said in (
        ("w", 7, "column 'w': expected a list of strings, found 7"),
        ("t", None, "column 't': expected text, found nothing"),
        ("year", "old", "column 'year'"),
    ):
        with pytest.raises(DataError) as caught:
            processor.encode({**ROWS[0], column: value}, where="line 9")
        assert str(caught.value).startswith("line 9")
        assert said in str(caught.value)


def test_a_length_is_given_in_one_place():
    wrong = {
        "features": {"w": {"kind": "spelling", "tokenizer": {"name": "chars", "max_length": 3}}}
    }
    with pytest.raises(ConfigError, match=r"tokenizer.max_length: give longest instead"):
        DataSpec.from_mapping({**SPEC, **wrong})


def test_unseen_words_are_tagged_by_their_letters(tmp_path):
    """Words end in o or a, and their tags follow: words of training tell nothing of the test's."""
    stems = [a + b for a in "bcdfghjkl" for b in "aeiou"]

    def write(name, part):
        lines = []
        for place, stem in enumerate(part):
            words = [stem + "ro", stem + "ta"] if place % 2 else [stem + "ta", stem + "ro"]
            tags = ["Masc" if word.endswith("o") else "Fem" for word in words]
            row = {"tokens": words, "tags": tags, "title": "a title", "year": place}
            lines.append(json.dumps(row))
        (tmp_path / name).write_text("\n".join(lines) + "\n")

    write("train.jsonl", stems[:30])
    write("test.jsonl", stems[30:])
    run = tmp_path / "run"
    command = ["train", "source=files", "head=tagging", "report=false", f"hydra.run.dir={run}"]
    command += [f"source.{split}={tmp_path / split}.jsonl" for split in ("train", "test")]
    command += ["data.features.letters={column: tokens, kind: spelling}"]
    command += ["data.features.title={kind: whole_text}"]
    command += ["data.features.year={kind: numeric, role: row}"]
    command += ["data.target={column: tags, kind: tags}"]
    command += ["embedding.features.letters={size: 6, convolution: {size: 8}}"]
    command += ["embedding.features.title={size: 3, cell: {name: gru, hidden_size: 2}}"]
    command += ["cell=gru", "cell.hidden_size=8", "optimizer.lr=0.05", "trainer.max_epochs=15"]
    assert main(command) == 0
    result = json.loads((run / "result.json").read_text())
    assert result["test"]["accuracy"] > 0.9
    model = seqlab.load(run / "bundle")
    row = {"tokens": ["bcro", "fuguta"], "title": "new", "year": 3}
    assert model.predict([row])[0]["tags"] == ["Masc", "Fem"]
