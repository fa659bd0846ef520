import pytest
from seqlab.data.spec import DataSpec
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
    assert spec.features["text"].tokenizer.limit == 99
    assert spec.columns == ("word", "words", "numbers", "answer")
    assert spec.input_columns == ("word", "words", "numbers")
    assert DataSpec.from_mapping(spec.to_dict()) == spec
    assert DataSpec.from_mapping(spec) is spec


def test_defaults_of_vocabulary_limits():
    plain = DataSpec.from_mapping(changed("features.text.tokenizer", "chars"))
    trained = DataSpec.from_mapping(changed("features.text.tokenizer", "unigram"))
    assert plain.features["text"].tokenizer.limit == 10_000_000
    assert trained.features["text"].tokenizer.limit == 8000


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("batch_sise", 3, "data: unknown key 'batch_sise': did you mean 'batch_size'?"),
        ("batch_size", 0, "data.batch_size: expected a whole number of at least 1, got 0"),
        ("batch_size", True, "data.batch_size: expected a whole number of at least 1, got True"),
        ("batch_size", "8", "data.batch_size: expected a whole number of at least 1, got '8'"),
        ("validation", 1.5, "data.validation: expected a fraction between 0 and 1, or null"),
        ("bucket", "yes", "data.bucket: expected true or false, got 'yes'"),
        ("features", {}, "data.features: expected a mapping of at least one feature's name"),
        ("features", {"a b": {}}, "data.features: a feature's name is letters, digits and '_'"),
        ("features.text", "word", "data.features.text: expected a mapping of keys, got 'word'"),
        ("features.text.colum", "x", "data.features.text: unknown key 'colum': did you mean"),
        ("features.text.kind", "txt", "data.features.text.kind: expected one of text, tokens"),
        ("features.text.transform", "lower", "data.features.text.transform: a feature of kind"),
        ("features.tail.transform", "suffix:x", "data.features.tail.transform: expected lower"),
        ("features.tail.standardize", True, "data.features.tail.standardize: a feature of kind"),
        ("features.numbers.tokenizer", "chars", "data.features.numbers.tokenizer: a feature"),
        ("features.text.tokenizer", {"size": 3}, "data.features.text.tokenizer: unknown key"),
        ("features.text.tokenizer", "char", "data.features.text.tokenizer.name: expected one of"),
        ("target", {"kind": "label"}, "data.target: the key 'column' is missing"),
        ("target.kind", "tag", "data.target.kind: expected one of label, labels, tags"),
        ("target", {"column": "y", "kind": "tags", "references": "z"}, "data.target.references"),
    ],
)
def test_wrong_keys_and_values_are_refused_by_name(path, value, message):
    with pytest.raises(ConfigError) as caught:
        DataSpec.from_mapping(changed(path, value))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
