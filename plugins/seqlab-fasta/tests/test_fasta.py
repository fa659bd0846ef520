from __future__ import annotations

import doctest
import json
import random

import pytest
import seqlab_fasta
from seqlab.cli import main
from seqlab.data.sources.files import FilesSource
from seqlab.errors import DataError
from seqlab.testing import parametrize_with_checks


@parametrize_with_checks(["format=fasta"])
def test_conforms(check):
    check()


def test_the_example_runs():
    assert doctest.testmod(seqlab_fasta).failed == 0


def test_bad_entries_are_named_and_may_be_skipped(tmp_path):
    path = tmp_path / "a.fa"
    path.write_text(">a class=x\nMV\n>b class=y\n>c class=x\nls\n")
    with pytest.raises(DataError, match=r"a\.fa line 3: a sequence is missing"):
        FilesSource(train=str(path)).load()
    rows = FilesSource(train=str(path), on_error="skip").load()["train"]
    assert rows["sequence"][:] == ["MV", "LS"]


def test_training_evaluating_and_predicting_read_it_alike(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draw = random.Random(0)  # noqa: S311 - a data set
    entries = []
    for number in range(60):
        kind = "acid" if number % 2 else "base"
        letters = "".join(draw.choices("DE" if number % 2 else "KR", k=9))
        entries.append(f">p{number} class={kind}\n{letters[:5]}\n{letters[5:]}\n")
    (tmp_path / "all.fasta").write_text("".join(entries))
    (tmp_path / "new.faa").write_text("".join(entries[:4]))
    words = [
        "source=proteins", "source.path=all.fasta", "source.split={test: 0.2, validation: 0.2}",
        "data=text_label", "data.features.text.column=sequence",
        "data.features.text.tokenizer={name: chars}", "data.target.column=class",
        "head=classification", "cell=gru", "cell.hidden_size=4", "trainer.max_epochs=2",
        "samples=0", "hydra.run.dir=run",
    ]  # fmt: skip
    assert main(["train", *words]) == 0
    source = "source={name: files, test: new.faa}"
    assert main(["evaluate", "bundle=run/bundle", source, "output=result.json"]) == 0
    assert json.loads((tmp_path / "result.json").read_text())["rows"] == 4
    assert main(["predict", "bundle=run/bundle", "input=new.faa", "output=out.jsonl"]) == 0
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [answer["input"]["id"] for answer in answers] == ["p0", "p1", "p2", "p3"]
    assert all(len(answer["input"]["sequence"]) == 9 for answer in answers)
    capsys.readouterr()
