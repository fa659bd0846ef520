"""Damaged input of ``predict``: JSON Lines of answers, or one line and no file."""

from __future__ import annotations

import io
import json
import sys

import pytest
import torch
from seqlab.bundle import save_bundle
from seqlab.errors import SeqlabError
from seqlab.testing.formats import Pipe, damaged
from seqlab.verbs import predict

from damage import damaged_json, tried
from small_runs import pairs_spec, sentences_spec, series_spec, untrained, words_spec

# what is damaged may have no rows left
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:no rows in")]

TASKS = {
    "words": (words_spec, "csv", b"word,kind\nabc,few\nffa,many\ndedede,few\n"),
    "plain": (words_spec, "text", b"abc\nffa\n\nd e\n"),
    "sentences": (sentences_spec, "jsonl", b'{"words": ["the", "ann"]}\n{"words": ["lee"]}\n'),
    "tokens": (sentences_spec, "conll", b"the O\nann B-PER\n\nlee O\n"),
    "pairs": (pairs_spec, "tsv", b"there\tback\nxyz\tZYX\nzz\tZZ\n"),
    "series": (
        series_spec,
        "json",
        b'[{"series": [1, 2.5], "station": "north gate"}, {"series": [0], "station": "mill"}]',
    ),
}
TRIES = 300


@pytest.fixture(params=TASKS)
def task(request, tmp_path):
    make, form, content = TASKS[request.param]
    spec = make(tmp_path)
    torch.manual_seed(1)
    model, data = untrained(spec)
    trained = tmp_path / "bundle"
    save_bundle(trained, model, data.processor, spec)
    return trained, form, content


def test_damaged_standard_input(task, tmp_path, monkeypatch):
    bundle, form, content = task
    folder = tmp_path / "answers"
    folder.mkdir()
    spec = {"bundle": str(bundle), "input": "-", "output": str(folder / "a.jsonl"), "format": form}
    column = "tokens" if form == "conll" else None
    more = {"column": column, "batch_size": 3, "device": "cpu", "num_threads": 1, "search": None}

    def read(changed):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Pipe(changed))))
        try:
            predict.run({**spec, **more}, tmp_path)
        except SeqlabError:
            assert list(folder.iterdir()) == []
            raise
        (file,) = folder.iterdir()
        answers = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        assert all("input" in answer for answer in answers)
        file.unlink()

    read(content)
    spoil = damaged_json if form == "json" else damaged
    counts = tried(read, spoil(content, TRIES, seed=3))
    assert min(counts["read"], counts["refused"]) > 10
