"""Damaged tokenizer files: one line that names the file, or a tokenizer that works."""

from __future__ import annotations

import json

import pytest
import seqlab
from seqlab.data.tokenizers.build import build_tokenizer
from seqlab.data.tokenizers.marks import INPUT_MARKS
from seqlab.errors import BundleError
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from damage import damaged_json, tried

TEXTS = ["the five boxing wizards jump quickly over the box", "héllo wörld"] * 5
SIZES = {"bpe": {"vocab_size": 60}, "unigram": {"vocab_size": 60}, "wordpiece": {"vocab_size": 80}}


def own_file(path):
    """A tokenizer of somebody's own, with a word for each of the texts'."""
    words = sorted({word for text in TEXTS for word in text.split()})
    ids = {word: index for index, word in enumerate(["[UNK]", *words])}
    own = Tokenizer(WordLevel(ids, "[UNK]"))
    own.pre_tokenizer = WhitespaceSplit()
    own.save(str(path))
    return path


def attack(folder, name, tries, seed):
    """Counts of what became of damaged files of a tokenizer."""
    takes = seqlab.get("tokenizer", name).takes
    spec = {"name": name, **SIZES.get(name, {})}
    if name == "file":
        spec["path"] = str(own_file(folder / "own.json"))
    texts = TEXTS if takes == "text" else [text.split() for text in TEXTS]
    path = folder / "tokenizer.json"
    sound = build_tokenizer(spec, INPUT_MARKS, takes=takes)
    sound.learn(lambda: [texts])
    sound.save(path)
    assert json.loads(path.read_text("utf-8"))

    def read(content):
        path.write_bytes(content)
        tokenizer = build_tokenizer(spec, INPUT_MARKS, takes=takes)
        try:
            tokenizer.load(path)
        except BundleError as error:
            assert str(path) in str(error)  # noqa: PT017 - it is what is tested
            raise
        ids = tokenizer.encode(texts)
        assert 0 < ids.values.min() <= ids.values.max() < tokenizer.size
        tokenizer.decode(ids.row(0).tolist())

    return tried(read, damaged_json(path.read_bytes(), tries, seed), BundleError)


@pytest.mark.parametrize("name", seqlab.available("tokenizer"))
def test_damaged_files_of_tokenizers(tmp_path, name):
    assert attack(tmp_path, name, 40, seed=1)["refused"] > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", seqlab.available("tokenizer"))
def test_many_damaged_files_of_tokenizers(tmp_path, name):
    assert attack(tmp_path, name, 600, seed=2)["refused"] > 200
