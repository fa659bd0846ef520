import json
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqlab.data.splitting import words_of
from seqlab.data.tokenizers.base import VocabularyError
from seqlab.data.tokenizers.build import build_tokenizer
from seqlab.data.tokenizers.marks import INPUT_MARKS, TARGET_MARKS
from seqlab.errors import BundleError, OptionError
from tokenizers import Tokenizer as Pipeline

TEXTS = [
    "the quick brown fox jumps over the lazy dog",
    "pack my box with five dozen jugs",
    "the five boxing wizards jump quickly over the box",
] * 3
SPECS = [
    {"name": "chars"},
    {"name": "words"},
    {"name": "bpe", "vocab_size": 60},
    {"name": "unigram", "vocab_size": 60},
    {"name": "wordpiece", "vocab_size": 80},
]
every_tokenizer = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec["name"])


def fit(spec, texts=TEXTS, marks=INPUT_MARKS, takes="text"):
    tokenizer = build_tokenizer(spec, marks, takes=takes)
    tokenizer.learn(lambda: [texts])
    return tokenizer


def tokens_of(rows, **options):
    return fit(options, rows, takes="tokens")


@every_tokenizer
@pytest.mark.parametrize("marks", [INPUT_MARKS, TARGET_MARKS])
def test_text_goes_to_ids_and_back(spec, marks):
    tokenizer = fit(spec, marks=marks)
    ids = tokenizer.encode(TEXTS)
    for index, text in enumerate(TEXTS):
        assert ids.row(index).min() >= len(marks)
        assert tokenizer.decode(ids.row(index).tolist()) == text
    assert [tokenizer.entry(i) for i in range(len(marks))] == list(marks)
    assert ids.values.max() < tokenizer.size


LOOKALIKES = [
    "x <eos> z", "<pad>", "a<unk>b <bos>", r"<\eos> <\\pad>", "<<eos>>", "▁a b▁ <_>", r"<\_>",
    "##a # ## b##c <##> ###", "<unk><unk>", "<eos",
]  # fmt: skip


@every_tokenizer
def test_text_that_looks_like_marks_is_never_taken_for_them(spec):
    texts = [text for text in LOOKALIKES for _ in range(20)]
    options = {key: value for key, value in spec.items() if key != "vocab_size"}
    tokenizer = fit(options, texts, TARGET_MARKS)
    for text in LOOKALIKES:
        ids = tokenizer.encode([text]).row(0).tolist()
        assert min(ids) >= len(TARGET_MARKS), text
        assert tokenizer.decode(ids) == text
    assert len({tuple(tokenizer.encode([text]).row(0).tolist()) for text in LOOKALIKES}) == len(
        LOOKALIKES
    )


@every_tokenizer
def test_marks_in_text_that_training_never_saw_are_unknown_at_most(spec):
    tokenizer = fit(spec, marks=TARGET_MARKS)
    for text in LOOKALIKES:
        ids = set(tokenizer.encode([text]).row(0).tolist())
        assert not ids & {0, 2, 3}, text


def test_marks_among_given_tokens():
    rows = [["<eos>", "a"], ["<pad>", r"<\eos>", "<unk>", "a"]]
    tokenizer = tokens_of(rows)
    assert tokenizer.encode(rows).values.min() >= 2
    assert [[tokenizer.entry(i) for i in tokenizer.encode([row]).row(0)] for row in rows] == rows


@every_tokenizer
def test_saved_vocabulary_is_a_hugging_face_tokenizer_with_the_same_ids(spec, tmp_path):
    tokenizer = fit({**spec, "lowercase": True}, [*TEXTS, "Ärger <eos>", "a\u00a0b ▁ ##a"])
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    text = "the Wizard jumps  over\t7 <eos> boxes A\u0308RGER a\u00a0b <\\pad> ▁ ##a\n<_>"
    expected = tokenizer.encode([text]).values.tolist()
    loaded = build_tokenizer({**spec, "lowercase": True})
    loaded.load(path)
    assert loaded.encode([text]).values.tolist() == expected
    assert loaded.decode(expected) == tokenizer.decode(expected)
    assert Pipeline.from_file(str(path)).encode(text).ids == expected


@given(st.lists(st.text(max_size=12), max_size=6), st.lists(st.text(max_size=12), min_size=1))
@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("name", ["chars", "words"])
def test_the_fast_way_is_the_librarys_way(name, lowercase, known, texts):
    spec = {"name": name, "lowercase": lowercase, "normalization": "none"}
    tokenizer = fit(spec, ["abc Ä", *known])
    ids = tokenizer.encode(texts)
    slow = [encoding.ids for encoding in tokenizer.pipeline.encode_batch(texts)]
    assert [ids.row(index).tolist() for index in range(len(texts))] == slow


@given(st.lists(st.lists(st.text(min_size=1, max_size=5), max_size=4), min_size=1))
def test_tokens_that_are_split_already_stay_as_they_are(rows):
    tokenizer = tokens_of([["a b", "c"], ["c", ""]])
    ids = tokenizer.encode(rows)
    for index, row in enumerate(rows):
        found = tokenizer.pipeline.encode(row, is_pretokenized=True)
        assert ids.row(index).tolist() == found.ids


def test_an_empty_token_keeps_its_place():
    tokenizer = tokens_of([["a", ""], ["a", "b"]])
    assert tokenizer.encode([["", "a", "b", ""]]).lengths.tolist() == [4]


@pytest.mark.parametrize("name", ["words", "wordpiece"])
@pytest.mark.parametrize("space", ["\u00a0", "\u3000", "\u2028", "\x1c", "\x85", "\u2009"])
def test_learning_and_encoding_cut_at_the_same_places(name, space):
    text = f"10{space}000 b\tc\nd"
    tokenizer = fit({"name": name}, [text] * 5, TARGET_MARKS)
    ids = tokenizer.encode([text]).row(0).tolist()
    assert min(ids) >= len(TARGET_MARKS)
    assert tokenizer.decode(ids).split(" ") == words_of(text)


def test_entries_are_ordered_by_count_and_then_by_the_alphabet():
    tokenizer = fit("words", ["b a c b", "d c b"])
    assert [tokenizer.entry(i) for i in range(tokenizer.size)] == [
        "<pad>", "<unk>", "b", "c", "a", "d",
    ]  # fmt: skip
    assert fit({"min_count": 2}, ["b a c b", "d c b"]).size == 4
    assert fit({"vocab_size": 5}, ["b a c b", "d c b"]).size == 5


def test_case_is_lowered_before_counting():
    tokenizer = fit({"lowercase": True, "min_count": 2}, ["Yes yes NO"])
    assert tokenizer.encode(["YES no"]).values.tolist() == [2, 1]


def test_unknown_and_special_entries():
    tokenizer = fit("chars", ["ab"], TARGET_MARKS)
    assert tokenizer.encode(["aXb"]).values.tolist() == [4, 1, 5]
    assert tokenizer.decode([2, 4, 1, 5, 3, 0, 999]) == "a<unk>b<unk>"
    assert tokenizer.mark_id("<eos>") == 3
    assert fit("chars", ["ab"]).mark_id("<eos>") is None


COMPOSED = "caf\u00e9 \u00c5ngstr\u00f6m \ud55c\uae00"


@every_tokenizer
@pytest.mark.parametrize("form", ["nfc", "nfd", "nfkc", "nfkd"])
def test_one_text_in_two_unicode_forms_has_the_same_ids(spec, form):
    options = {**spec, "normalization": form, "vocab_size": 200}
    tokenizer = fit(options, [COMPOSED] * 4)
    taken_apart = unicodedata.normalize("NFD", COMPOSED)
    assert taken_apart != COMPOSED
    ids = tokenizer.encode([COMPOSED, taken_apart])
    composed, apart = ids.row(0).tolist(), ids.row(1).tolist()
    assert composed == apart
    assert 1 not in composed
    assert tokenizer.decode(composed) == unicodedata.normalize(form.upper(), COMPOSED)


def test_unicode_form_by_default_and_switched_off():
    taken_apart = unicodedata.normalize("NFD", "caf\u00e9")
    assert fit("words", ["caf\u00e9"]).encode([taken_apart]).values.tolist() == [2]
    plain = fit({"normalization": "none"}, ["caf\u00e9"])
    assert plain.encode([taken_apart]).values.tolist() == [1]
    wide = fit({"normalization": "nfkc"}, ["a1"])
    assert wide.encode(["\uff41\uff11"]).values.tolist() == [2]
    # what only looks like a mark becomes one by its form, and is told from it all the same
    assert fit({"normalization": "nfkc"}, ["\uff1cpad\uff1e"]).encode(
        ["<pad>"]
    ).values.tolist() == [2]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"min_count": 3}, "min_count=3 leaves nothing but <unk>: the most frequent of the 2"),
        ({"name": "chars", "min_count": 9}, "of the 3 entries in the training rows is there 4"),
        ({"name": "unigram", "min_count": 9}, "min_count=9 leaves nothing but <unk>: no character"),
        ({"name": "bpe", "vocab_size": 5}, "vocab_size=5 is too small: 4 marks and the 2"),
        ({"name": "unigram", "vocab_size": 5}, "characters of the training rows need 6 entries"),
        ({"name": "wordpiece", "vocab_size": 7}, "characters of the training rows need 8 entries"),
    ],
)
def test_options_that_leave_nothing_are_refused(spec, message):
    with pytest.raises(VocabularyError) as caught:
        fit(spec, ["aa b", "aa b"], TARGET_MARKS)
    assert message in str(caught.value)


def test_trained_tokenizers_hold_no_more_entries_than_asked_for():
    for spec in SPECS[2:]:
        assert fit(spec).size <= spec["vocab_size"]


@pytest.mark.parametrize(
    ("spec", "takes", "message"),
    [
        ("char", "text", "tokenizer.name: unknown tokenizer 'char': did you mean 'chars'?"),
        ("chars", "tokens", "tokenizer: 'chars' splits text, and tokens are split already"),
        ({"name": "words", "min_count": 2}, "tokens", "'words' splits text, and tokens are"),
        ("tokens", "text", "tokenizer: 'tokens' takes text that is split already; choose kind"),
        (
            {"name": "chars", "mincount": 2},
            "text",
            "'chars' has no option 'mincount': did",
        ),
        ({"normalization": "nfx"}, "text", "tokenizer.normalization: expected one of 'nfc'"),
        ({"vocab_size": 3}, "text", "tokenizer.vocab_size: expected an int of at least 5"),
        ({"lowercase": "yes"}, "text", "tokenizer.lowercase: expected true or false"),
    ],
)
def test_options_are_checked(spec, takes, message):
    with pytest.raises(OptionError) as caught:
        build_tokenizer(spec, takes=takes)
    assert message in str(caught.value)


def test_characters_too_rare_for_a_unigram_vocabulary_are_unknown():
    tokenizer = fit({"name": "unigram", "min_count": 2}, ["abc ab", "abq ab"])
    assert tokenizer.encode(["q"]).values.tolist()[-1] == 1
    assert 1 not in tokenizer.encode(["ab ba"]).values


TRAIN = """
import hashlib, random, sys
from seqlab.data.tokenizers.build import build_tokenizer
random.seed(5)
stems = ["".join(random.choices("abcdefghij", k=random.randint(2, 6))) for _ in range(150)]
texts = [" ".join(random.choices(stems, k=12)) for _ in range(400)]
for name in ("bpe", "unigram", "wordpiece"):
    tokenizer = build_tokenizer({"name": name, "vocab_size": 180})
    tokenizer.learn(lambda: [texts])
    print(name, hashlib.sha256(tokenizer.pipeline.to_str().encode()).hexdigest())
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


def _first_entry(content, index):
    content["model"]["vocab"]["t"] = index


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("model"), "it has no 'model'"),
        (lambda c: c["model"].update(vocab={"a": 0}), "must begin with <pad>, <unk>"),
        (lambda c: c["model"].update(vocab={"<pad>": 0, "<unk>": -1}), "entries must be 0 to 1"),
        (lambda c: c["model"].update(vocab=[["<pad>", 0]]), "must begin with <pad>, <unk>"),
        (lambda c: c["model"].update(vocab={"<pad>": 0, "<unk>": 1, "\ud800": 2}), "not a file of"),
        (lambda c: c["model"].update(vocab=7), "its 'vocab' must be a mapping"),
        (lambda c: _first_entry(c, 10**9), "entries must be 0 to 28, each once"),
        (lambda c: _first_entry(c, 500), "entries must be 0 to 28, each once"),
        (lambda c: _first_entry(c, 4), "entries must be 0 to 28, each once"),
        (lambda c: _first_entry(c, 2.0), "entries must be 0 to 28, each once"),
        (lambda c: _first_entry(c, True), "entries must be 0 to 28, each once"),  # noqa: FBT003
        (lambda c: c.update(pre_tokenizer={"type": "WhitespaceSplit"}), "its 'pre_tokenizer'"),
        (lambda c: c.update(normalizer={"type": "Lowercase"}), "its 'normalizer'"),
        (lambda c: c["model"].update(type="BPE"), "its 'model'"),
        (lambda c: c.update(added_tokens=[{"id": 0, "content": "a"}]), "its 'added_tokens'"),
    ],
)
def test_a_tampered_tokenizer_file_is_refused(change, message, tmp_path):
    path = tmp_path / "tokenizer.json"
    fit("chars").save(path)
    content = json.loads(path.read_text())
    assert len(content["model"]["vocab"]) == 29
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match=message) as caught:
        build_tokenizer("chars").load(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    "vocab",
    [
        [["<pad>", 0.0], ["<unk>", 0.0], ["a", -1.0], ["a", -2.0]],
        [["<pad>", 0.0], ["<unk>", 0.0], ["a", float("nan")]],
        [["<pad>", 0.0], ["<unk>", 0.0], ["", -1.0]],
        [["<pad>", 0.0], ["<unk>", 0.0], ["a"]],
        [["<unk>", 0.0], ["<pad>", 0.0]],
        [],
    ],
)
def test_scored_entries_of_a_file_are_checked(vocab, tmp_path):
    path = tmp_path / "tokenizer.json"
    fit(SPECS[3]).save(path)
    content = json.loads(path.read_text())
    content["model"]["vocab"] = vocab
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match=r"tokenizer\.json: "):
        build_tokenizer("unigram").load(path)


def test_merges_of_unknown_entries_are_refused(tmp_path):
    path = tmp_path / "tokenizer.json"
    fit(SPECS[2]).save(path)
    content = json.loads(path.read_text())
    content["model"]["merges"].append(["no", "where"])
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match=r"tokenizer\.json: not a file of tokenizer 'bpe'"):
        build_tokenizer("bpe").load(path)


def test_missing_oversized_and_broken_files_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "tokenizer.json"
    tokenizer = build_tokenizer("chars")
    with pytest.raises(BundleError, match="no such file"):
        tokenizer.load(path)
    path.write_text("[1]")
    with pytest.raises(BundleError, match="expected a JSON object"):
        tokenizer.load(path)
    path.write_text("{")
    with pytest.raises(BundleError, match="not JSON"):
        tokenizer.load(path)
    monkeypatch.setattr("seqlab.data.tokenizers.base.MAX_TOKENIZER_BYTES", 10)
    path.write_text(" " * 11)
    with pytest.raises(BundleError, match="11 bytes, more than the 10 allowed"):
        tokenizer.load(path)
