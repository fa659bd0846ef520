"""Data modules: what is learned from rows, and rows that are refused."""

import datasets
import pytest
from seqlab.data.module import DataModule
from seqlab.errors import ConfigError, DataError
from words_source import SPEC, Words, module


def test_vocabulary_and_labels_see_neither_validation_nor_test():
    train = [{"word": "ab", "kind": "x"}, {"word": "ba", "kind": "y"}]
    other = [{"word": "qz", "kind": "x"}]
    data = module(source=Words({}, train=train, validation=other, test=other))
    assert data.info.features[0].size == 4
    assert next(iter(data.loader("test"))).inputs["text"].tolist() == [[1, 1]]
    rows = [{"word": chr(97 + n), "kind": "x"} for n in range(20)]
    held = module(source=Words({}, train=rows), validation=0.25)
    seen = {row["word"] for row in held.rows("train")}
    assert held.info.features[0].size == 2 + len(seen) == 2 + 15


@pytest.mark.parametrize("limits", [{"validation": 0.5}, {"limit_train": 1}])
def test_classes_of_training_rows_that_are_not_used_are_known_all_the_same(limits):
    rows = [{"word": "a", "kind": f"k{n}"} for n in range(10)]
    data = module(source=Words({}, train=rows, test=rows), **limits)
    assert data.info.target.size == 10
    assert data.sizes["train"] < 10


def test_class_labels_of_a_data_set_become_their_names():
    features = datasets.Features(
        {
            "word": datasets.Value("string"),
            "kind": datasets.ClassLabel(names=["zulu", "alpha"]),
        }
    )

    class Named(Words):
        def load(self):
            rows = {"word": ["a", "bb"], "kind": [0, 1]}
            return datasets.DatasetDict(train=datasets.Dataset.from_dict(rows, features=features))

    data = module(source=Named())
    assert data.info.target.names == ("alpha", "zulu")
    assert data.rows("train")[1] == {"word": "bb", "kind": "alpha"}


TEXT = {
    "features": {"text": {"column": "word", "tokenizer": "chars"}},
    "target": {"column": "said", "kind": "text", "tokenizer": "words", "references": "all"},
    "batch_size": 2,
}
SAID = [
    {"word": "ab", "said": "A B", "all": ["A B", "B"]},
    {"word": "b", "said": "B", "all": ["B"]},
]


@pytest.mark.parametrize("streaming", [False, True])
def test_references_come_in_evaluation_only(streaming):
    data = module(TEXT, Words({}, train=SAID, test=SAID, streaming=streaming))
    batch = next(iter(data.loader("test")))
    decoded = [[data.processor.decode_target(a) for a in answers] for answers in batch.references]
    assert sorted(decoded) == [["A B", "B"], ["B"]]
    assert next(iter(data.loader("train"))).references is None
    without = [{"word": "ab", "said": "A B"}]
    data = module(TEXT, Words({}, train=SAID, test=without, streaming=streaming))
    assert next(iter(data.loader("test"))).references is None


GOOD = [{"word": "ab", "kind": "x"}, {"word": "c", "kind": "y"}]
TAGS = {
    "features": {"tokens": {"kind": "tokens"}},
    "target": {"column": "tags", "kind": "tags"},
}
TAGGED = [{"tokens": ["a", "b"], "tags": ["X", "Y"]}]
BAD = [
    (SPEC, {"train": []}, "the source's split 'train' has no rows"),
    (SPEC, {"train": GOOD, "test": []}, "the source's split 'test' has no rows"),
    (SPEC, {"test": GOOD}, "the source has no split 'train'"),
    (SPEC, {"train": GOOD, "dev": GOOD}, "the source has a split 'dev': known: test, train"),
    (
        SPEC,
        {"train": [{"wrd": "a", "kind": "x"}]},
        "line 2: the column 'word' (data.features.text.column) is missing: did you mean 'wrd'?",
    ),
    (
        SPEC,
        {"train": GOOD, "test": [{"word": "a"}]},
        "test.csv line 2: the column 'kind' (data.target.column) is missing",
    ),
    (
        SPEC,
        {"train": GOOD, "test": [*GOOD, {"word": "a", "kind": "z"}]},
        "test.csv line 4: column 'kind': label 'z' does not occur in the training rows: known",
    ),
    (SPEC, {"train": [*GOOD, {"word": "", "kind": "x"}]}, "train.csv line 4: column 'word' is"),
    (SPEC, {"train": [{"word": 1, "kind": "x"}]}, "train.csv line 2: column 'word': expected te"),
    (SPEC, {"train": GOOD, "test": [{"word": None, "kind": "x"}]}, "test.csv line 2: column"),
    (
        TAGS,
        {"train": [*TAGGED, {"tokens": ["a"], "tags": []}]},
        "train.csv line 3: column 'tags' has 0 tags for 1 steps in column 'tokens'",
    ),
    ({**SPEC, "validation": 0.5}, {"train": GOOD[:1]}, "data.validation=0.5 leaves no training"),
]


def _all_read(data, *, streaming):
    """Only training rows of a stream are checked as they pass, all others beforehand."""
    data.prepare()
    if streaming:
        list(data.loader("train"))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("spec", "rows", "message"), BAD)
def test_bad_data_is_refused_before_training_in_one_line(spec, rows, message, streaming):
    if streaming and any(not part for part in rows.values()):
        message = "has no rows"
    data = DataModule(Words({}, streaming=streaming, **rows), spec, 0)
    with pytest.raises(DataError) as caught:
        _all_read(data, streaming=streaming)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_row_of_a_stream_is_named_by_its_place_in_the_file(workers):
    rows = [*GOOD, {"word": "", "kind": "x"}]
    data = DataModule(Words({}, streaming=True, train=rows), {**SPEC, "num_workers": workers}, 0)
    data.prepare()
    with pytest.raises(DataError) as caught:
        list(data.loader("train"))
    assert str(caught.value).startswith("train.csv line 4: column 'word' is empty")
    assert "\n" not in str(caught.value)


def test_splits_and_seeds_that_are_wrong():
    data = module(source=Words({"train": 5}))
    with pytest.raises(DataError, match="no split 'tset' is loaded: known: train"):
        data.loader("tset")
    with pytest.raises(DataError, match=r"no split 'validation' .it has train.; set data.valid"):
        DataModule(Words({"train": 5}), SPEC, 0).prepare(["validation"])
    with pytest.raises(DataError, match="no split 'tset': did you mean 'test'"):
        DataModule(Words(), SPEC, 0).prepare(["tset"])
    with pytest.raises(ConfigError, match="seed: expected an int of at least 0, got -1"):
        DataModule(Words(), SPEC, -1)


def test_the_row_is_named_when_validation_rows_are_held_out():
    rows = [{"word": "a", "kind": "x"}] * 30 + [{"word": 3, "kind": "x"}]
    rows = [{"word": str(row["word"]) if i < 30 else "", "kind": "x"} for i, row in enumerate(rows)]
    with pytest.raises(DataError, match=r"train\.csv line 32: column 'word' is empty"):
        module(source=Words({}, train=rows), validation=0.3)
