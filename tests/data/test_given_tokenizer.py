"""A tokenizer.json of one's own."""

from __future__ import annotations

import json

import pytest
from seqlab.data.features.vocabulary import TextFeature
from seqlab.data.processor import Processor, fit_processor
from seqlab.errors import BundleError, DataError
from seqlab.testing import check
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

TEXTS = ["The dog barks", "a dog and cats", "café", "the the dog <eos>"]


def write(path, **options):
    model = Tokenizer(models.BPE(unk_token="[UNK]"))  # noqa: S106 - a token of text
    model.normalizer = normalizers.Lowercase()
    model.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=60, special_tokens=["[UNK]", "[CLS]"], show_progress=False, **options
    )
    model.train_from_iterator(TEXTS, trainer)
    model.enable_padding(length=9)
    model.enable_truncation(2)
    model.save(str(path))
    return Tokenizer.from_file(str(path))


def test_ids_are_those_of_the_file_behind_the_marks(tmp_path):
    path = tmp_path / "tokenizer.json"
    theirs = write(path)
    theirs.no_padding()
    theirs.no_truncation()
    spec = {
        "features": {"t": {"kind": "text", "tokenizer": {"name": "file", "path": str(path)}}},
        "target": {"column": "y", "kind": "label"},
    }
    processor = fit_processor(spec, [{"t": "anything", "y": "a"}])
    ids = processor.encode_input("The dog, barks").inputs["t"].tolist()
    wanted = theirs.encode("The dog, barks", add_special_tokens=False).ids
    unknown = theirs.token_to_id("[UNK]")
    assert ids == [1 if index == unknown else 2 + index for index in wanted]
    assert 1 in ids
    (tmp_path / "kept").mkdir()
    processor.save(tmp_path / "kept")
    path.unlink()
    again = Processor.load(tmp_path / "kept")
    assert again.info == processor.info
    assert again.encode_input("The dog, barks").inputs["t"].tolist() == ids


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"model": {"type": "BPE"}}', "no json"])
def test_what_is_no_tokenizer_is_one_line(tmp_path, text):
    path = tmp_path / "t.json"
    path.write_text(text)
    feature = TextFeature("t", "t", tokenizer={"name": "file", "path": str(path)})
    with pytest.raises(DataError, match=r"t\.json: is no tokenizer\.json"):
        feature.fit(lambda: [(["a"], str)])
    with pytest.raises(DataError, match=r"gone\.json"):
        TextFeature("t", "t", tokenizer={"name": "file", "path": str(tmp_path / "gone.json")}).fit(
            lambda: [(["a"], str)]
        )
    with pytest.raises(BundleError):
        feature.tokenizer.restore({"tokenizer": json.loads(text) if text.startswith("{") else text})


def test_it_conforms(tmp_path):
    write(tmp_path / "t.json", initial_alphabet=list("<>"))
    # the file has no decoder, so its pieces are read with spaces between them
    results = check("tokenizer", "file", path=str(tmp_path / "t.json"))
    assert [r.name for r in results if not r.passed and r.name != "text_comes_back"] == []
