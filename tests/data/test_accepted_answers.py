"""A target column of lists: the first answer is learnt, any of them is right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import seqlab
from seqlab.data.processor import fit_processor
from seqlab.errors import DataError
from seqlab.heads.metrics import edit_distance
from seqlab.training.run import train
from seqlab.verbs import evaluate

from small_runs import changed, pairs_spec, words_spec

LABELS = [["noun", "verb"], "noun", '["verb"]', ["adj"], 7]


def spec_of(kind, **options):
    return {
        "features": {"text": {"column": "a", "tokenizer": "chars"}},
        "target": {"column": "b", "kind": kind, **options},
    }


def batch_of(spec, cells):
    rows = [{"a": "xy", "b": cell} for cell in cells]
    processor = fit_processor(spec, rows)
    return processor, processor.collate([processor.encode(row) for row in rows])


def test_classes():
    processor, batch = batch_of(spec_of("label", several=True), LABELS)
    names = processor.info.target.names
    assert names == ("7", "adj", "noun", "verb")
    assert [names[i] for i in batch.target.tolist()] == ["noun", "noun", "verb", "adj", "7"]
    found = [[names[i] for (i,) in row] for row in batch.references]
    assert found == [["noun", "verb"], ["noun"], ["verb"], ["adj"], ["7"]]


def test_texts():
    cells = [["ab", "ba", "c"], "ca", '["abc", "b"]']
    tokenizer = {"name": "chars"}
    processor, batch = batch_of(spec_of("text", several=True, tokenizer=tokenizer), cells)
    lengths = zip(batch.target, batch.target_lengths.tolist(), strict=True)
    assert [processor.decode_target(row[:n]) for row, n in lengths] == ["ab", "ca", "abc"]
    found = [[processor.decode_target(ids) for ids in row] for row in batch.references]
    assert found == [["ab", "ba", "c"], ["ca"], ["abc", "b"]]


@pytest.mark.parametrize("kind", ["label", "text"])
def test_lists_that_nobody_announced_are_refused_with_the_way_to_give_them(kind):
    with pytest.raises(DataError, match=r"train row 2: column 'b': .* data\.target\.several=true"):
        batch_of(spec_of(kind), ["x", ["x", "y"]])
    with pytest.raises(DataError, match="row 2: column 'b': expected at least one accepted answer"):
        batch_of(spec_of(kind, several=True), ["x", []])


def in_lists(spec, column, other):
    """The same source with a list of two accepted answers in each cell, as JSON lines."""
    source = dict(spec["source"])
    for split in ("train", "validation", "test"):
        head, *lines = Path(source[split]).read_text("utf-8").splitlines()
        between = "\t" if "\t" in head else ","
        names = head.split(between)
        rows = [dict(zip(names, line.split(between), strict=True)) for line in lines]
        for row in rows:
            row[column] = [row[column], other(row[column])]
        source[split] = str(Path(source[split]).with_suffix(".jsonl"))
        Path(source[split]).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return {**spec, "source": source}


def test_a_run_of_labels_counts_any_accepted_class_as_right(tmp_path):
    flip = {"few": "many", "many": "few"}
    spec = in_lists(changed(words_spec(tmp_path), trainer__max_epochs=1), "kind", flip.get)
    spec["data"]["target"]["several"] = True
    result = train(spec, tmp_path / "run").values
    # both classes are accepted in every row
    assert result["test"]["accuracy"] == result["baseline"]["accuracy"] == 1.0
    assert result["test"]["loss"] > 0
    evaluate.run({"bundle": str(tmp_path / "run" / "bundle"), "split": "test"}, tmp_path / "e")
    again = json.loads((tmp_path / "e" / "result.json").read_text("utf-8"))
    assert again["test"]["accuracy"] == 1.0
    assert sum(entry["support"] for entry in again["classes"]) == 11


def test_a_run_of_texts_is_held_against_the_nearest_answer(tmp_path):
    spec = changed(pairs_spec(tmp_path), trainer__max_epochs=1)
    spec = in_lists(spec, "back", lambda text: text[:1] * 8)
    spec["data"]["target"]["several"] = True
    result = train(spec, tmp_path / "run").values
    trained = seqlab.load(tmp_path / "run" / "bundle")
    rows = [json.loads(r) for r in Path(spec["source"]["test"]).read_text("utf-8").splitlines()]
    errors = total = 0
    for row, answer in zip(rows, trained.predict([r["there"] for r in rows]), strict=True):
        apart = [edit_distance(answer["text"], one) for one in row["back"]]
        errors += min(apart)
        total += len(row["back"][apart.index(min(apart))])
    assert result["test"]["token_error_rate"] == pytest.approx(errors / total)
