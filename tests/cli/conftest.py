from __future__ import annotations

import sys
import types
from typing import NamedTuple

import pytest
import seqlab
from seqlab import registry
from seqlab.cli import main


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


class ToySource:
    def __init__(self, path: str, *, rows: int = 3) -> None:
        self.path, self.rows = path, rows


class ToyHead:
    def __init__(self, encoder, target, *, smoothing: float = 0.0) -> None:
        self.given, self.smoothing = (encoder, target), smoothing


@pytest.fixture
def toy_parts():
    seqlab.register("source", "toy")(ToySource)
    seqlab.register("head", "toy_head")(ToyHead)
    yield
    registry.unregister("source", "toy")
    registry.unregister("head", "toy_head")


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    """Run the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = main(list(words))
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def trained(monkeypatch):
    """The specs and folders that the verb `train` is called with, instead of training."""
    calls = []

    def run(spec, run_dir, begin=None):
        if begin is not None:
            begin()
        calls.append((spec, run_dir))
        return {"objective": 0.5}

    verb = types.ModuleType("seqlab.verbs.train")
    verb.run = run
    monkeypatch.setitem(sys.modules, "seqlab.verbs.train", verb)
    return calls


@pytest.fixture
def toy_words(toy_parts):
    """The choices of a run whose source and head need no data."""
    return ("source=toy", "source.path=x.csv", "data=text_label", "head=toy_head")


@pytest.fixture
def train(command, trained, toy_words):
    """`seqlab train` with those choices and more words."""

    def run(*words):
        return command("train", *toy_words, *words)

    run.calls = trained
    return run
