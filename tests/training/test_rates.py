"""A range test finds a rate, and leaves nothing behind."""

from __future__ import annotations

import pytest
from seqlab.cli import main
from seqlab.errors import RunError
from seqlab.training.rates import HIGHEST, LOWEST, find_rate, suggested

from small_runs import changed, words_spec


def test_a_rate_where_the_loss_falls(tmp_path, monkeypatch):
    spec = words_spec(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    found = find_rate(spec)
    assert sorted(tmp_path.iterdir()) == before
    assert len(found.rates) == len(found.losses) > 20
    assert LOWEST <= found.rates[0] < found.rates[-1] <= HIGHEST
    assert list(found.rates) == sorted(found.rates)
    assert 1e-4 < found.suggestion <= 0.1
    assert min(found.losses) < found.losses[0]
    # the rate of the spec counts for nothing, and a second test sees the same
    assert find_rate(changed(spec, optimizer__lr=0.5)) == found


def test_a_loss_that_never_falls_tells_no_rate():
    with pytest.raises(RunError, match="the loss never fell"):
        suggested([1e-3, 1e-2, 0.1], [0.5, 0.6, float("nan")])


def test_a_run_is_not_resumed(tmp_path, capsys):
    words = ["source=files", "source.train=a.csv", "data=text_label", "head=classification"]
    assert main(["rate", *words, "resume=run"]) == 2
    assert "error: resume: " in capsys.readouterr().err


def test_the_verb_prints_it(tmp_path, capsys):
    source = words_spec(tmp_path)["source"]
    files = [f"source.{split}={source[split]}" for split in ("train", "validation")]
    words = [
        "source=files", *files, "data=text_label", "data.features.text.column=word",
        "data.target.column=kind", "head=classification", "cell.hidden_size=6",
    ]  # fmt: skip
    assert main(["rate", *words]) == 0
    assert "begin with optimizer.lr=" in capsys.readouterr().out
