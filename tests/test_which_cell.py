"""The commands of docs/which-cell.md are sound, and its page says what the answers say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from seqlab.config.comparison_app import ComparisonApp
from seqlab.verbs import compare

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.mark.slow
def test_every_command_is_sound_and_its_contestants_differ_in_the_cell(
    scripts, monkeypatch, tmp_path
):
    from which_cell_data import MEMBERS
    from which_cell_tasks import TASKS

    (tmp_path / "members").mkdir()
    for member in (name for members in MEMBERS.values() for name in members.values()):
        (tmp_path / "members" / member).touch()
    given = {}
    monkeypatch.setattr(compare, "run", lambda *words: given.update(jobs=words[1]))
    for task in TASKS:
        ComparisonApp("compare", "compare").main(task.command(tmp_path, ("lstm", "mgu")))
        cells = [job.spec["encoder"]["cell"]["name"] for job in given["jobs"]]
        assert cells == ["lstm", "mgu"]
        decoders = [job.spec["head"].get("decoder") for job in given["jobs"]]
        if task.decoder is not None:
            assert [decoder["cell"]["name"] for decoder in decoders] == cells
        limits = [job.spec["trainer"] for job in given["jobs"]]
        assert all(limit["max_seconds"] is None for limit in limits)  # time would choose results


def answer(task, verdicts, mode="max"):
    means = {"lstm": 0.9, "gru": 0.8, "rnn": 0.7}
    pairs = [("lstm", "gru"), ("lstm", "rnn"), ("gru", "rnn")]
    return {
        "task": task, "title": "a title", "kind": "real", "words": ["cell=lstm,gru,rnn"],
        "machine": {"cores": 2, "processor": "x86_64", "python": "3.11.7"}, "wall_seconds": 60.0,
        "metric": "accuracy", "mode": mode, "rows": 100, "seeds": [0, 1], "quality": 0.5,
        "match": "parameters", "versions": {"torch": "2.13"},
        "contestants": [
            {"name": name, "values": [mean, mean], "mean": mean, "low": mean - 0.1,
             "high": mean + 0.1, "parameters": 1000, "step_ms": 2.0 if name == "gru" else 4.0,
             "seconds": 1.0, "seconds_to_quality": 0.5, "memory_bytes": 10, "steps": [7, 7],
             "engine": "fused", "overrides": ["encoder.cell.hidden_size=12"]}
            for name, mean in means.items()
        ],
        "pairs": [
            {"a": a, "b": b, "difference": means[a] - means[b], "low": 0.01, "high": 0.2,
             "probability_a_better": 0.9, "verdict": verdict, "p_value": 0.1, "more_seeds": 3}
            for (a, b), verdict in zip(pairs, verdicts, strict=True)
        ],
    }  # fmt: skip


def test_the_page_says_what_the_answers_say(scripts, tmp_path):
    from which_cell_page import write_page

    answers, docs = tmp_path / "answers", tmp_path / "docs"
    answers.mkdir()
    docs.mkdir()
    found = [answer("second", ["undecided", "a", "undecided"]), answer("first", ["b", "a", "a"])]
    for one in found:
        (answers / f"{one['task']}.json").write_text(json.dumps(one))
    write_page(answers, docs, ["first", "second"])
    page = (docs / "which-cell.md").read_text()
    lines = page.splitlines()
    assert "| [first](#first) | accuracy (more) | 0.9000 | **0.8000** | 0.7000 |" in lines
    assert "| [second](#second) | accuracy (more) | **0.9000** | **0.8000** | 0.7000 |" in lines
    assert page.index("[first]") < page.index("[second]")
    told = "The LSTM is better on 0 tasks, the GRU on 1, and 1 of 2 are undecided."
    assert told in page
    assert any("undecided, about 3 more seeds | 0.50 | 0.5 / 0.5 |" in line for line in lines)
    assert "- gru is better than lstm: lstm - gru is +0.1000 (0.0100 .. 0.2000)" in lines
    assert "| **lstm** |  | 0 | 2 | 1 |" in lines
    assert "| **gru** | 1 |  | 1 | 2 |" in lines
    assert "2 cores x86-64" in page
    again = page
    for file in answers.glob("*.json"):
        file.unlink()
        write_page(answers, docs, ["first", "second"])  # the rest from docs/which-cell.json
        assert (docs / "which-cell.md").read_text() == again


@pytest.mark.slow
def test_a_stopped_run_goes_on(tmp_path):
    script = [sys.executable, str(SCRIPTS / "which_cell.py"), "run", "copy_20", "--seeds", "2"]
    command = [*script, "--cells", "lstm,gru", "--out", str(tmp_path), "--words"]
    words = ["trainer.max_steps=3", "source.rows=100"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def called(*more):
        return subprocess.run(
            [*command, *words, *more], capture_output=True, text=True, check=False, env=environment
        )

    stopped = called("--seconds", "6")
    assert stopped.returncode == 3
    assert "stop  copy_20" in stopped.stdout
    done = called("--lanes", "2", "--jobs", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "answers" / "copy_20.json").read_text())
    assert [one["name"] for one in found["contestants"]] == ["lstm", "gru"]
    assert "1 of 1 tasks have an answer already" in called().stdout


def test_what_an_undecided_pair_lacks_is_said_as_compare_says_it(scripts):
    from seqlab.comparison.verdicts import _what_decides

    from which_cell_page import _needed

    for pair in (
        {"more_seeds": 1, "rows_needed": None},
        {"more_seeds": 1200, "rows_needed": None},
        {"more_seeds": None, "rows_needed": 1200},
        {"more_seeds": None, "rows_needed": None},
    ):
        said = _what_decides(pair)
        number = next((word for word in said.split() if word[0].isdigit()), "a thousand seeds")
        assert number in _needed(pair)
        assert ("more seed " in f"{said} ") == ("more seed " in f"{_needed(pair)} ")
        assert ("as small as the one seen" in said) == ("as small as the one seen" in _needed(pair))


def test_the_page_is_the_one_that_the_script_writes(scripts):
    from which_cell_page import markdown

    docs = Path(__file__).parents[1] / "docs"
    found = json.loads((docs / "which-cell.json").read_text("utf-8"))
    assert markdown(found) == (docs / "which-cell.md").read_text("utf-8")
