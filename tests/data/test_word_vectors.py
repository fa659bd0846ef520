"""Word vectors from text files, and runs that begin with them."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
import seqlab
from seqlab.cli import main
from seqlab.data.tokenizers.build import build_tokenizer
from seqlab.data.word_vectors import read_vectors, read_words, vector_size
from seqlab.errors import DataError, OptionError

GLOVE = "good 0.5 -1 2\nNew York 1 2 3\nbad -0.5 1e-1 -2\ngood 9 9 9\n3 0 0 1\n"


@pytest.mark.parametrize("ending", [".txt", ".gz"])
@pytest.mark.parametrize("head", ["", "5 3\n"])
def test_a_file_of_words_is_read(tmp_path, head, ending):
    file = tmp_path / f"vectors{ending}"
    data = (head + GLOVE).encode()
    file.write_bytes(gzip.compress(data) if ending == ".gz" else data)
    assert vector_size(str(file)) == 3
    found, size, words = read_vectors(str(file), {"good", "New York", "3", "absent"})
    assert (size, words) == (3, 5)
    assert found.keys() == {"good", "New York", "3"}
    np.testing.assert_allclose(found["good"], [0.5, -1, 2])
    np.testing.assert_allclose(found["New York"], [1, 2, 3])
    assert [*read_words(str(file))] == ["good", "New York", "bad", "good", "3"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a 1 2\nb 1\n", "v.txt line 2: expected a word and 2 finite numbers"),
        ("a 1 2\nb 1 nan\n", "v.txt line 2: expected a word and 2 finite numbers"),
        ("a 1 2\nb 1 x\n", "v.txt line 2: expected a word and 2 finite numbers"),
        ("a\n", "v.txt line 1: expected a word and its numbers"),
        ("", "v.txt: has no word vectors: the file is empty"),
        ("3 2\n", "v.txt: has no word vectors"),
        (b"a 1 2\n\xff 1 2\n", "v.txt line 2: not UTF-8 text (byte 0xff at position 1)"),
    ],
)
def test_a_bad_line_is_named(tmp_path, text, said):
    file = tmp_path / "v.txt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as caught:
        read_vectors(str(file), {"a", "b"})
    assert said in str(caught.value)


def test_words_of_a_short_line_are_refused(tmp_path):
    (tmp_path / "v.txt").write_text("a 1 2\nb 1\n")
    with pytest.raises(DataError, match="line 2: expected a word and 2 finite numbers"):
        list(read_words(str(tmp_path / "v.txt")))


def test_a_damaged_gzip_file_is_named(tmp_path):
    file = tmp_path / "v.gz"
    file.write_bytes(gzip.compress(GLOVE.encode() * 99)[:-20])
    with pytest.raises(DataError, match=r"v\.gz"):
        read_vectors(str(file), {"a"})


def write_films(folder):
    rows = ["text,label", "good film,yes", "Bad film,no", "a good one,yes", "bad one,no"]
    (folder / "films.csv").write_text("\n".join(rows) + "\n")
    (folder / "glove.txt").write_text("good 3 1\nbad -3 1\nfilm 0 1\n")
    command = ["train", "source=files", f"source.path={folder / 'films.csv'}", "data=text_label"]
    command += ["source.split={by: tail, test: 0.25}", "data.features.text.tokenizer.min_count=1"]
    command += ["data.features.text.tokenizer.lowercase=false", "report=false", "samples=0"]
    command += ["head=classification", "cell=gru", "cell.hidden_size=4", "trainer.max_steps=1"]
    return command


def test_a_table_begins_with_vectors_and_stays_where_it_is_not_trained(tmp_path, capsys):
    command, run = write_films(tmp_path), tmp_path / "run"
    vectors = f"embedding.features.text={{vectors: {tmp_path / 'glove.txt'}, trained: false}}"
    assert main([*command, vectors, f"hydra.run.dir={run}"]) == 0
    said = capsys.readouterr().out
    # good, Bad, film of good film Bad a one; 5 of 7 words of the text
    assert "glove.txt has 3 of 5 words; out of vocabulary: 40.0% of the words, 28.6% of" in said
    (tmp_path / "glove.txt").unlink()
    model = seqlab.load(run / "bundle")
    table, tokenizer = model.model.encoder.tables()["text"], model.processor.features[0].tokenizer
    ids = tokenizer.encode(["good film Bad"]).values.tolist()
    assert table.weight[ids].tolist() == [[3.0, 1.0], [0.0, 1.0], [-3.0, 1.0]]
    assert (
        json.loads((run / "bundle" / "config.json").read_text())["encoder"]["embedding"][
            "features"
        ]["text"]["size"]
        == 2
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{vectors: FOLDER/golve.txt}", "no such file (encoder.embedding.features.text.vectors)"),
        (
            "{vectors: FOLDER/glove.txt, size: 7}",
            "features.text.size: FOLDER/glove.txt has vectors",
        ),
        ("{vectors: FOLDER/other.txt}", "FOLDER/other.txt has none of the 5 words"),
        ("{words: all}", "features.text.words: all are those of a file; give encoder.embedding"),
        (
            "{vectors: FOLDER/glove.txt, max_words: 3}",
            "features.text.max_words: it limits encoder.embedding.features.text.words=all",
        ),
        ("{vectors: FOLDER/glove.txt, words: file}", "features.text.words: "),
        ("{vectors: FOLDER/other.txt, words: all}", "FOLDER/other.txt has none of the 5 words"),
        ("{vector: FOLDER/glove.txt}", "features.text.vector: unknown key, did you mean 'vectors'"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, capsys, options, said):
    command = write_films(tmp_path)
    (tmp_path / "other.txt").write_text("nichts 1 2\n")
    options = options.replace("FOLDER", str(tmp_path))
    run = f"hydra.run.dir={tmp_path / 'run'}"
    assert main([*command, f"embedding.features.text={options}", run]) == 2
    assert said.replace("FOLDER", str(tmp_path)) in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "most", "texts", "known"),
    [
        ({"name": "words"}, None, ["The dog", "<unk>"], ["Cat", "sat", "<pad>"]),
        ({"name": "words", "lowercase": True}, None, ["The dog"], ["sat", "<pad>"]),
        ({"name": "words"}, 1, ["The dog"], ["Cat"]),
        ({"name": "tokens"}, None, [["The", "dog"]], ["Cat", "New York", "sat", "<pad>"]),
    ],
)
def test_words_are_added_behind_those_learnt(options, most, texts, known):
    takes = "tokens" if options["name"] == "tokens" else "text"
    tokenizer = build_tokenizer(options, takes=takes)
    tokenizer.learn(lambda: [texts])
    learnt, before = tokenizer.size, [tokenizer.entry(i) for i in range(tokenizer.size)]
    tokenizer.add_words(["dog", "Cat", "New York", "Cat", "sat", "<pad>"], most)
    assert [tokenizer.entry(i) for i in range(learnt)] == before
    assert [tokenizer.entry(i) for i in range(learnt, tokenizer.size)] == known
    assert tokenizer.added == len(known)
    given = [[word] for word in known] if takes == "tokens" else known
    assert tokenizer.encode(given).values.tolist() == [*range(learnt, tokenizer.size)]
    other = build_tokenizer(options, takes=takes)
    other.restore(tokenizer.content())
    assert other.encode(given).values.tolist() == [*range(learnt, tokenizer.size)]


def test_characters_take_no_words():
    chars = build_tokenizer("chars")
    chars.learn(lambda: [["ab"]])
    with pytest.raises(OptionError, match="tokenizer 'chars' has no words to add to"):
        chars.add_words(["abc"])


@pytest.mark.parametrize("trained", ["false", "true"])
def test_words_that_only_the_file_has_are_known_to_predictions(tmp_path, capsys, trained):
    command, run = write_films(tmp_path), tmp_path / "run"
    with (tmp_path / "glove.txt").open("a") as file:
        file.write("great 5 2\nawful -5 2\nvery good 9 9\ndreary -4 2\n")
    options = f"words: all, max_words: 3, trained: {trained}"
    vectors = f"embedding.features.text={{vectors: {tmp_path / 'glove.txt'}, {options}}}"
    more = ["trainer.max_steps=3", "optimizer=adam", "optimizer.lr=0.1", "trainer.max_epochs=9"]
    assert main([*command, vectors, *more, f"hydra.run.dir={run}"]) == 0
    said = capsys.readouterr().out
    # bad, which training has as Bad only, is new as it is written; dreary is beyond the limit
    assert "glove.txt has 3 of 5 words; out of vocabulary: 40.0% of the words, 28.6% of" in said
    assert "3 more of its words are known" in said
    (tmp_path / "glove.txt").unlink()
    model = seqlab.load(run / "bundle")
    table, tokenizer = model.model.encoder.tables()["text"], model.processor.features[0].tokenizer
    ids = tokenizer.encode(["bad great awful dreary good"]).values.tolist()
    assert ids[3] == 1
    assert 1 not in ids[:3]
    assert table.weight[ids[:3]].tolist() == [[-3.0, 1.0], [5.0, 2.0], [-5.0, 2.0]]
    assert (table.weight[ids[4]].tolist() == [3.0, 1.0]) is (trained == "false")
    one, other, unknown = (answer["scores"] for answer in model.predict(
        ["great film", "awful film", "dreary film"]
    ))  # fmt: skip
    assert one != other
    assert unknown not in (one, other)
