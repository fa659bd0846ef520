import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqlab.data.spec import TokenizerSpec
from seqlab.data.vocabulary import (
    INPUT_SPECIALS,
    TARGET_SPECIALS,
    Vocabulary,
    fit_vocabulary,
)
from seqlab.errors import BundleError, DataError
from tokenizers import Tokenizer

TEXTS = [
    "the quick brown fox jumps over the lazy dog",
    "pack my box with five dozen jugs",
    "the five boxing wizards jump quickly over the box",
] * 3
SPECS = [
    TokenizerSpec("chars"),
    TokenizerSpec("words"),
    TokenizerSpec("bpe", vocab_size=60),
    TokenizerSpec("unigram", vocab_size=60),
    TokenizerSpec("wordpiece", vocab_size=80),
]


def fit(spec, texts=TEXTS, specials=INPUT_SPECIALS):
    return fit_vocabulary(spec, lambda: [texts], specials)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("specials", [INPUT_SPECIALS, TARGET_SPECIALS])
def test_text_goes_to_ids_and_back(spec, specials):
    vocabulary = fit(spec, specials=specials)
    ids = vocabulary.encode(TEXTS)
    for index, text in enumerate(TEXTS):
        assert ids.row(index).min() >= len(specials)
        assert vocabulary.decode(ids.row(index).tolist()) == text
    assert [vocabulary.entry(i) for i in range(len(specials))] == list(specials)
    assert ids.values.max() < vocabulary.size


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_saved_vocabulary_is_a_hugging_face_tokenizer_with_the_same_ids(spec, tmp_path):
    vocabulary = fit(spec)
    path = tmp_path / "tokenizer.json"
    vocabulary.save(path)
    text = "the wizard jumps over 7 boxes"
    expected = vocabulary.encode([text]).values.tolist()
    loaded = Vocabulary.load(path, spec)
    assert loaded.encode([text]).values.tolist() == expected
    assert loaded.decode(expected) == vocabulary.decode(expected)
    assert Tokenizer.from_file(str(path)).encode(text).ids == expected


@given(st.lists(st.text(max_size=12), max_size=6), st.lists(st.text(max_size=12), min_size=1))
@pytest.mark.parametrize("lowercase", [False, True])
def test_the_fast_way_for_characters_is_the_tokenizers_way(lowercase, known, texts):
    vocabulary = fit(TokenizerSpec("chars", lowercase=lowercase), ["abc Ä", *known])
    ids = vocabulary.encode(texts)
    slow = [encoding.ids for encoding in vocabulary.tokenizer.encode_batch(texts)]
    assert [ids.row(index).tolist() for index in range(len(texts))] == slow


@given(st.lists(st.lists(st.text(min_size=1, max_size=5), max_size=4), min_size=1))
def test_tokens_that_are_split_already_stay_as_they_are(rows):
    spec = TokenizerSpec("tokens")
    vocabulary = fit(spec, [["a b", "c"], ["c", ""]])
    ids = vocabulary.encode(rows)
    for index, row in enumerate(rows):
        assert ids.row(index).tolist() == vocabulary.tokenizer.encode(row, is_pretokenized=True).ids


def test_an_empty_token_keeps_its_place():
    vocabulary = fit(TokenizerSpec("tokens"), [["a", ""], ["a", "b"]])
    assert vocabulary.encode([["", "a", "b", ""]]).lengths.tolist() == [4]


def test_entries_are_ordered_by_count_and_then_by_the_alphabet():
    vocabulary = fit(TokenizerSpec("words"), ["b a c b", "d c b"])
    assert [vocabulary.entry(i) for i in range(vocabulary.size)] == [
        "<pad>", "<unk>", "b", "c", "a", "d",
    ]  # fmt: skip
    assert fit(TokenizerSpec("words", min_count=2), ["b a c b", "d c b"]).size == 4
    assert fit(TokenizerSpec("words", vocab_size=5), ["b a c b", "d c b"]).size == 5


def test_case_is_lowered_before_counting():
    vocabulary = fit(TokenizerSpec("words", lowercase=True, min_count=2), ["Yes yes NO"])
    assert vocabulary.encode(["YES no"]).values.tolist() == [2, 1]


def test_unknown_and_special_entries():
    vocabulary = fit(TokenizerSpec("chars"), ["ab"], TARGET_SPECIALS)
    assert vocabulary.encode(["aXb"]).values.tolist() == [4, 1, 5]
    assert vocabulary.decode([2, 4, 1, 5, 3, 0, 999]) == "a<unk>b<unk>"
    assert vocabulary.id_of("<eos>") == 3
    assert vocabulary.id_of("X") is None


def test_a_limit_too_small_is_refused():
    with pytest.raises(DataError, match="vocab_size 2 leaves no room beside 4 specials"):
        fit(TokenizerSpec("words", vocab_size=2), specials=TARGET_SPECIALS)


TRAIN = """
import hashlib, random, sys
from seqlab.data.spec import TokenizerSpec
from seqlab.data.vocabulary import fit_vocabulary
random.seed(5)
stems = ["".join(random.choices("abcdefghij", k=random.randint(2, 6))) for _ in range(150)]
texts = [" ".join(random.choices(stems, k=12)) for _ in range(400)]
for name in ("bpe", "unigram", "wordpiece"):
    vocabulary = fit_vocabulary(TokenizerSpec(name, vocab_size=180), lambda: [texts])
    print(name, hashlib.sha256(vocabulary.tokenizer.to_str().encode()).hexdigest())
"""


def test_trained_vocabularies_are_the_same_in_every_process():
    outputs = {
        subprocess.run(
            [sys.executable, "-c", TRAIN], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(3)
    }
    assert len(outputs) == 1
    assert outputs.pop().count("\n") == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("model"), "not a tokenizer of kind 'chars'"),
        (lambda c: c["model"].update(vocab={"a": 0}), "must begin with <pad>, <unk>"),
        (lambda c: c["model"].update(vocab={"<pad>": 0, "<unk>": -1}), "not a tokenizer"),
        (lambda c: c.update(pre_tokenizer={"type": "WhitespaceSplit"}), "its 'pre_tokenizer'"),
        (lambda c: c.update(normalizer={"type": "Lowercase"}), "its 'normalizer'"),
        (lambda c: c["model"].update(type="BPE"), "its 'model'"),
        (lambda c: c.update(added_tokens=[{"id": 0, "content": "a"}]), "its 'added_tokens'"),
    ],
)
def test_a_tampered_tokenizer_file_is_refused(change, message, tmp_path):
    path = tmp_path / "tokenizer.json"
    fit(TokenizerSpec("chars")).save(path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match=message) as caught:
        Vocabulary.load(path, TokenizerSpec("chars"))
    assert str(path) in str(caught.value)


def test_missing_oversized_and_broken_files_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "tokenizer.json"
    spec = TokenizerSpec("chars")
    with pytest.raises(BundleError, match="cannot be read"):
        Vocabulary.load(path, spec)
    path.write_text("[1]")
    with pytest.raises(BundleError, match="expected a JSON object"):
        Vocabulary.load(path, spec)
    path.write_text("{")
    with pytest.raises(BundleError, match="not JSON"):
        Vocabulary.load(path, spec)
    monkeypatch.setattr("seqlab.data.vocabulary.MAX_TOKENIZER_BYTES", 10)
    path.write_text(" " * 11)
    with pytest.raises(BundleError, match="11 bytes, more than the 10 allowed"):
        Vocabulary.load(path, spec)
