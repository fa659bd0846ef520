import pytest
from seqlab.data.data_spec import DataSpec
from seqlab.errors import ConfigError

GOOD = {
    "features": {
        "text": {"column": "word", "kind": "text", "tokenizer": {"name": "bpe", "vocab_size": 99}},
        "tail": {"column": "words", "kind": "tokens", "transform": "suffix:2"},
        "numbers": {"kind": "numeric", "standardize": False},
    },
    "target": {"column": "answer", "kind": "text", "references": "answers"},
    "batch_size": 7,
    "validation": 0.25,
}


def changed(path, value):
    spec = {**GOOD, "features": {k: dict(v) for k, v in GOOD["features"].items()}}
    spec["target"] = dict(GOOD["target"])
    *parents, last = path.split(".")
    place = spec
    for parent in parents:
        place = place[parent]
    place[last] = value
    return spec


def test_a_spec_reads_back_what_it_writes():
    spec = DataSpec.from_mapping(GOOD)
    assert spec.features["numbers"].column == "numbers"
    assert spec.features["text"].options["tokenizer"]["vocab_size"] == 99
    assert spec.features["tail"].options["tokenizer"]["name"] == "tokens"
    assert spec.target.options["tokenizer"]["normalization"] == "nfc"
    assert spec.columns == ("word", "words", "numbers", "answer")
    assert spec.input_columns == ("word", "words", "numbers")
    assert DataSpec.from_mapping(spec.to_dict()) == spec
    assert DataSpec.from_mapping(spec) is spec


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("batch_sise", 3, "data.batch_sise: unknown key, did you mean 'batch_size'?"),
        ("batch_size", 0, "data.batch_size: expected an int of at least 1, got 0"),
        ("batch_size", True, "data.batch_size: expected an int of at least 1, got true"),
        ("batch_size", "8", "data.batch_size: expected an int of at least 1, got '8'"),
        ("validation", 1.5, "data.validation: expected a number in (0, 1) or null, got 1.5"),
        ("bucket", "yes", "data.bucket: expected true or false, got 'yes'"),
        ("features", {}, "data.features: expected features with their options, by names"),
        ("features", {"a b": {}}, "data.features: expected features with their options, by names"),
        ("features", ["a"], "data.features: expected a mapping, got ['a']"),
        ("features.text", "word", "data.features.text: expected a mapping, got 'word'"),
        ("features.text.column", "", "data.features.text.column: expected a name, got ''"),
        ("features.text.colum", "x", "data.features.text: feature 'text' has no option 'colum'"),
        ("features.text.kind", "txt", "data.features.text.kind: unknown feature 'txt': did you"),
        ("features.text.transform", "lower", "data.features.text: feature 'text' has no option"),
        ("features.tail.transform", "suffix:x", "data.features.tail.transform: expected lower"),
        ("features.tail.standardize", True, "data.features.tail: feature 'tokens' has no option"),
        ("features.numbers.standardize", 1, "data.features.numbers.standardize: expected true"),
        ("features.numbers.tokenizer", "chars", "data.features.numbers: feature 'numeric' has no"),
        ("features.text.tokenizer", {"size": 3}, "data.features.text.tokenizer: tokenizer 'words'"),
        ("features.text.tokenizer", "char", "data.features.text.tokenizer.name: unknown tokenizer"),
        ("features.tail.tokenizer", "chars", "data.features.tail.tokenizer: 'chars' splits text"),
        (
            "features.text.tokenizer",
            {"max_length": 0},
            "data.features.text.tokenizer.max_length: expected an int of at least 1",
        ),
        ("target", {"kind": "label"}, "data.target.column: no value was given"),
        ("target.kind", "tag", "data.target.kind: unknown target 'tag': did you mean 'tags'?"),
        (
            "target",
            {"column": "y", "kind": "tags", "references": "z"},
            "data.target: target 'tags' has no option 'references'",
        ),
        (
            "target",
            {"column": "y", "kind": "labels", "separator": " "},
            "data.target.separator: expected a separator such as ';'",
        ),
    ],
)
def test_wrong_keys_and_values_are_refused_by_name(path, value, message):
    with pytest.raises(ConfigError) as caught:
        DataSpec.from_mapping(changed(path, value))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
