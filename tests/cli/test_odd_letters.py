"""Letters beyond ASCII, and what is no text at all, in words, file names, rows and answers."""

from __future__ import annotations

import json
import os
import sys

import pytest
import seqlab as package

from forked import seqlab
from small_runs import write_words

WORDS = (
    "train", "source=files", "data=text_label", "data.features.text.column=word",
    "data.target.column=kind", "head=classification", "trainer.max_steps=2", "samples=1",
)  # fmt: skip


def test_plain_values_need_no_quotes(command):
    done = command(*WORDS, "source.train=Übung 1.csv", "samples=0", "--cfg", "job")
    assert (done.code, done.err) == (0, "")
    assert "train: Übung 1.csv" in done.out


@pytest.mark.parametrize("value", ["[é]", "{a: é}", "'é'", "é,ü"])
def test_values_that_mean_something_to_hydra_stay_as_they_are(value):
    from seqlab.config.overrides import expand

    assert expand(f"key={value}") == f"key={value}"


def test_a_page_in_the_encoding_of_the_locale_c(tmp_path):
    done = seqlab(
        tmp_path, "list", "cell=lstm",
        before="import sys; sys.stdout.reconfigure(encoding='ascii', errors='surrogateescape')",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "H\\xb2" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file names")
def test_a_name_without_letters_in_an_encoding_without_them(tmp_path):
    place = tmp_path / "place"
    odd = os.fsdecode(b"w\xff\xc3\xa9.csv")
    write_words(place)
    (place / "train.csv").rename(place / odd)
    done = seqlab(
        place, *WORDS, f"source.train={odd}", "hydra.run.dir=ré",
        before="import sys; sys.stdout.reconfigure(encoding='ascii')",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "r\\xe9/bundle" in done.stdout
    assert package.load(place / "ré/bundle").config["source"]["train"] == odd


def test_rows_with_half_a_pair_are_answered(tmp_path):
    place = tmp_path / "place"
    write_words(place)
    run = seqlab(place, *WORDS, "source.train=train.csv", "hydra.run.dir=run")
    assert run.returncode == 0, run.stderr
    rows = [{"word": "abc", "note": "\ud800é"}, {"word": "é", "note": ""}]
    (place / "a.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    done = seqlab(place, "predict", "bundle=run/bundle", "input=a.jsonl", "output=b.jsonl")
    assert done.returncode == 0, done.stderr
    lines = (place / "b.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["input"] for line in lines] == rows
    assert '"é"' in lines[1]
