"""Several targets of one row: encoded, kept, cut, trained on, predicted and evaluated."""

from __future__ import annotations

import json

import numpy as np
import pytest
import seqlab
from seqlab.cli import main
from seqlab.data.data_spec import DataSpec
from seqlab.data.processor import Processor, fit_processor
from seqlab.errors import ConfigError, DataError

ROWS = [
    {"w": ["Ada", "sang"], "pos": ["PROPN", "VERB"], "mood": "glad", "said": "la", "n": 2.5},
    {"w": ["rain"], "pos": ["NOUN"], "mood": "sad", "said": "", "n": -1},
    {
        "w": ["Bob", "fell", "ill"],
        "pos": ["PROPN", "VERB", "ADJ"],
        "mood": "sad",
        "said": "oh",
        "n": 0,
    },
]
SPEC = {
    "features": {"w": {"kind": "tokens"}},
    "targets": {
        "pos": {"column": "pos", "kind": "tags"},
        "mood": {"column": "mood", "kind": "label"},
        "said": {"column": "said", "kind": "text", "tokenizer": "chars"},
        "n": {"column": "n", "kind": "values"},
    },
}


def test_each_target_is_encoded_as_it_is_alone(tmp_path):
    processor = fit_processor(SPEC, ROWS)
    batch = processor.collate([processor.encode(row) for row in ROWS])
    assert batch.target is None
    assert set(batch.targets) == set(SPEC["targets"])
    for name, target in SPEC["targets"].items():
        sole = fit_processor({"features": SPEC["features"], "target": target}, ROWS)
        alone = sole.collate([sole.encode(row) for row in ROWS])
        mine = batch.of_target(name)
        assert mine.target.equal(alone.target)
        assert not mine.targets
        if alone.target_lengths is not None:
            assert mine.target_lengths.equal(alone.target_lengths)
        assert processor.info.target.parts[name] == sole.info.target
    assert processor.decode_target([1, 2], "pos") == ["NOUN", "PROPN"]
    processor.save(tmp_path)
    assert Processor.load(tmp_path).info == processor.info
    assert DataSpec.from_mapping(processor.spec.to_dict()) == processor.spec
    moved = batch.apply(lambda tensor: tensor[:1])
    assert len(moved.targets["said"].target_lengths) == 1
    assert batch.without_targets().of_target("pos").target is None


def test_rows_that_lie_apart_are_joined():
    processor = fit_processor(SPEC, ROWS)
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    whole = processor.encode_columns(columns, str)
    parts = [processor.encode_columns({n: [row[n]] for n in row}, str) for row in ROWS]
    joined = type(whole).concatenate(parts)
    assert joined.digest() == whole.digest()
    assert np.array_equal(joined.order_keys, whole.order_keys)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"target": {"column": "mood", "kind": "label"}}, "target and targets are both given"),
        ({"targets": None}, "data.target: the key is missing; give it, or several as data.targets"),
        ({"targets": {}}, "data.targets: expected targets with their options"),
        ({"targets": {"a b": {}}}, "data.targets: expected targets with their options"),
        ({"targets": {"a": {"kind": "label"}}}, "data.targets.a.column: no value was given"),
        ({"targets": {"a": {"column": "x", "kind": "lable"}}}, "data.targets.a.kind: unknown"),
    ],
)
def test_a_wrong_spec_is_named_by_its_key(changes, said):
    with pytest.raises(ConfigError) as caught:
        DataSpec.from_mapping({**SPEC, **changes})
    assert said in str(caught.value)


def test_there_is_no_sole_target_among_several():
    processor = fit_processor(SPEC, ROWS)
    for asked in (lambda: processor.target, lambda: processor.spec.target):
        with pytest.raises(
            (ConfigError, DataError), match="there is no sole target, but pos, mood"
        ):
            asked()


def test_a_row_that_does_not_fit_one_of_them_is_named():
    processor = fit_processor(SPEC, ROWS)
    bad = {**ROWS[0], "pos": ["VERB"]}
    with pytest.raises(DataError, match="line 7: column 'pos' has 1 tags for 2 steps"):
        processor.encode(bad, where="line 7")


CONLLU = """# sent_id = a-{n}
1	Ada	Ada	PROPN	_	Gender=Fem|Number=Sing	2	nsubj	_	_
2	{verb}	sing	VERB	_	Tense={tense}	0	root	_	_

"""


def test_morphology_from_a_file_to_predictions(tmp_path):
    file, run = tmp_path / "a.conllu", tmp_path / "run"
    verbs = [("sang", "Past"), ("sings", "Pres")]
    text = [CONLLU.format(n=n, verb=v, tense=t) for n, (v, t) in enumerate(verbs * 8)]
    file.write_text("".join(text))
    split = "source.split={by: tail, validation: 0.25, test: 0.25}"
    options = ["cell=gru", "cell.hidden_size=8", "optimizer.lr=0.05", "trainer.max_epochs=12"]
    command = ["train", "source=files", f"source.path={file}", split, "data=tokens_morphology"]
    command += ["head=joint", "head.weights.feats=0.5", "callbacks.checkpoint.monitor=loss"]
    assert main([*command, *options, "report=false", f"hydra.run.dir={run}"]) == 0
    test = json.loads((run / "result.json").read_text())
    assert test["test"]["upos_accuracy"] == test["test"]["feats_accuracy"] == 1.0
    assert test["baseline"]["upos_accuracy"] == test["baseline"]["feats_accuracy"] == 1.0
    (answer,) = seqlab.load(run / "bundle").predict([["Ada", "sings"]])
    assert answer["upos"]["tags"] == ["PROPN", "VERB"]
    assert answer["feats"]["tags"] == ["Gender=Fem|Number=Sing", "Tense=Pres"]
    lines = tmp_path / "lines.jsonl"
    result = tmp_path / "result.json"
    command = ["evaluate", f"bundle={run / 'bundle'}", "split=test", f"predictions={lines}"]
    assert main([*command, f"output={result}"]) == 0
    classes = json.loads(result.read_text())["targets"]
    assert {entry["class"] for entry in classes["upos"]["classes"]} == {"PROPN", "VERB"}
    row = json.loads(lines.read_text().splitlines()[0])
    assert row["gold"]["upos"] == row["upos"]["tags"]
    assert row["gold"]["feats"] == row["feats"]["tags"]


@pytest.mark.parametrize(("kind", "values"), [("tags", [["x", "y"], ["y"]]), ("label", ["x", "y"])])
def test_a_name_that_training_has_not_may_count_as_wrong(kind, values, tmp_path):
    rows = [{"w": ["a"] * len(v if kind == "tags" else "1"), "y": v} for v in values]
    new = {"w": ["a"], "y": ["z"] if kind == "tags" else "z"}
    target = {"column": "y", "kind": kind}
    with pytest.raises(DataError, match="'z' does not occur in the training rows"):
        fit_processor({"features": SPEC["features"], "target": target}, rows).encode(new)
    target["unseen"] = "wrong"
    processor = fit_processor({"features": SPEC["features"], "target": target}, rows)
    assert processor.info.target.names == ("x", "y", "<unseen>")
    assert processor.info.target.statistics.counts[2] == 0
    processor.save(tmp_path)
    for known in (processor, Processor.load(tmp_path)):
        assert np.atleast_1d(known.encode(new).target).tolist() == [2]
