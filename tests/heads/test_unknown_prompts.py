"""What a language model does not know of a text that it goes on with, or fills, is named."""

from __future__ import annotations

import warnings

import pytest
from language_helpers import language_model
from seqlab.bundle import save_bundle
from seqlab.errors import UnknownPieceWarning

from forked import seqlab

TEXTS = ["abcd efgh aab", "aab a_b d"]


def data(tokenizer):
    return {"features": {"text": {"tokenizer": tokenizer}}, "target": {"kind": "inputs"}}


@pytest.mark.parametrize(
    ("tokenizer", "prompt", "named"),
    [
        ("chars", "abé ß aé", "'é', 'ß', and"),
        ("words", "aab xy aab <unk>", "'xy', '<unk>', and"),
        ("bpe", "aab é d", "'é', and"),
        ("unigram", "aab é d", "'é', and"),
        ("wordpiece", "aab é d", "'é', and"),
        ("chars", "QRSTUVW", "'Q', 'R', 'S', 'T', 'U' and 2 more, and"),
    ],
)
def test_what_is_unknown_is_named(tokenizer, prompt, named):
    trained = language_model(TEXTS, data=data(tokenizer))
    with pytest.warns(UnknownPieceWarning) as seen:
        trained.generate(prompt, max_length=1)
    (line,) = {str(one.message) for one in seen}
    assert line == f"generate: the model does not know {named} reads what it does not know as <unk>"


@pytest.mark.parametrize("tokenizer", ["chars", "words", "bpe", "unigram", "wordpiece"])
def test_what_is_known_is_not(tokenizer):
    trained = language_model(TEXTS, data=data(tokenizer))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained.generate(max_length=1)
        trained.generate("aab d", max_length=1)
        trained.score(["a text with é"])  # ordinary: its answer says where


def test_a_file_of_one_s_own_has_its_own_unknown_token(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    own = Tokenizer(models.WordLevel({"[no]": 0, "aab": 1}, unk_token="[no]"))  # noqa: S106
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    own.save(str(tmp_path / "tokenizer.json"))
    given = {"name": "file", "path": str(tmp_path / "tokenizer.json")}
    trained = language_model(TEXTS, data=data(given))
    with pytest.warns(UnknownPieceWarning, match="does not know 'xy', and reads"):
        trained.generate("aab xy aab", max_length=1)


def test_tokens_are_looked_up_as_the_feature_does():
    features = {"features": {"text": {"kind": "tokens", "transform": "lower"}}}
    trained = language_model([["Ab", "c"]], data={**features, "target": {"kind": "inputs"}})
    with pytest.warns(UnknownPieceWarning, match="does not know 'x', and reads"):
        trained.generate(["AB", "X", "c"], max_length=1)


def test_a_gap_is_no_unknown_piece():
    trained = language_model(TEXTS, data=data("words"))
    with pytest.warns(UnknownPieceWarning, match="fill: the model does not know 'xy', and reads"):
        trained.fill("aab # xy#d", gap="#")


def test_of_many_prompts_one_is_named_and_all_are_counted(tmp_path):
    trained = language_model(["abcd"])
    save_bundle(tmp_path / "bundle", trained.model, trained.processor, trained.config)
    (tmp_path / "in.txt").write_text("ab\nxé\nz\nz\n")
    first = "warning: generate: the model does not know 'x', 'é', and reads what it does not know"
    for given, said in {
        "input=in.txt": [
            f"{first} as <unk>",
            "warning: 3 prompts have pieces that the model does not know",
        ],
        "prompt=xé": [f"{first} as <unk>"],
        "prompt=ab": [],
    }.items():
        done = seqlab(tmp_path, "generate", "bundle=bundle", "max_length=1", given)
        assert (done.returncode, done.stderr.splitlines()) == (0, said)
