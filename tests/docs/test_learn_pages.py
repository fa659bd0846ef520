"""The learners' pages: every block runs, and prints what the page says."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
from pathlib import Path

import pytest
import seqlab.cli

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(python|text|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GATES, VANISHING = DOCS / "learn-gates.md", DOCS / "learn-vanishing.md"
PAGES = sorted(DOCS.glob("learn-*.md"))
#: Pages whose blocks need what their commands have written.
LED_BY_COMMANDS = ("learn-both-ways",)


def blocks_of(page):
    """Python blocks with what they print; commands of seqlab alone are no output."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [block for block in found if block[0] != "text" or not block[1].startswith("seqlab ")]


def printed_by(blocks, *, commands=False):
    """Run blocks in one namespace, and commands if so asked; what each python block prints."""
    namespace: dict = {}
    found = []
    for kind, source in blocks:
        if kind == "sh" and commands:
            assert seqlab.cli.main(shlex.split(source.replace("\\\n", ""))[1:]) == 0
        if kind == "python":
            stream = io.StringIO()
            with contextlib.redirect_stdout(stream):
                exec(compile(source, "page", "exec"), namespace)  # noqa: S102  # our own page
            found.append(stream.getvalue())
    return found, namespace


def expected(blocks):
    """The text below each python block; empty where it prints nothing."""
    wanted: list[str] = []
    for kind, source in blocks:
        if kind == "python":
            wanted.append("")
        elif kind == "text":
            wanted[-1] += source
    return wanted


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_prints_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = blocks_of(page)
    found, _ = printed_by(blocks, commands=page.stem in LED_BY_COMMANDS)
    assert found == expected(blocks)
    assert sum(bool(text) for text in found) >= 3


def test_a_wrong_number_on_the_page_would_be_seen():
    blocks = blocks_of(GATES)
    changed = [
        (kind, source.replace("0.6652", "0.6651")) if kind == "text" else (kind, source)
        for kind, source in blocks
    ]
    found, namespace = printed_by(blocks)
    assert found != expected(changed)
    assert namespace["h_new"].shape == (2,)


def test_every_gate_has_its_equation():
    text = GATES.read_text(encoding="utf-8")
    for symbol in ("f_t", "i_t", "g_t", "c_t", "o_t", "z_t", "r_t", "n_t", "h_t"):
        assert f"{symbol} =" in text
    assert len(blocks_of(GATES)) > 20


def test_commands_of_the_page_write_their_pages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = re.findall(
        r"^```sh\n(.*?)^```$", VANISHING.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "seqlab"
        smaller = [word.replace("length=200", "length=20") for word in words[1:]]
        assert seqlab.cli.main([*smaller, "hidden_size=4", "rows=1"]) == 0
    assert len(list(tmp_path.glob("*/report.html"))) == len(commands) == 2


def test_pictures_of_pages_are_there():
    for page in DOCS.glob("*.md"):
        for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text("utf-8")):
            assert (DOCS / name).read_text("utf-8").lstrip().startswith("<svg"), name


def test_the_table_of_lstm_and_gru_says_what_was_measured():
    text = (DOCS / "learn-lstm-or-gru.md").read_text("utf-8")
    row = r"^\| \[[^]]+\]\(which-cell\.md#(\w+)\), [^|]+" + 5 * r"\| ([^|]+) " + r"\|$"
    rows = re.findall(row, text, re.MULTILINE)
    answers = {a["task"]: a for a in json.loads((DOCS / "which-cell.json").read_text("utf-8"))}
    assert sorted(task for task, *_ in rows) == sorted(answers)
    for task, lstm, gru, within, verdict, ratio in rows:
        own = {one["name"]: one for one in answers[task]["contestants"]}
        [pair] = [p for p in answers[task]["pairs"] if {p["a"], p["b"]} == {"lstm", "gru"}]
        assert pair["a"] == "lstm"
        assert verdict == {"a": "LSTM", "b": "GRU"}.get(pair["verdict"], "undecided")
        low, _, high = within.partition(" to ")
        for told, number in (
            (lstm, own["lstm"]["mean"]), (gru, own["gru"]["mean"]), (low, pair["low"]),
            (high, pair["high"]), (ratio, own["gru"]["step_ms"] / own["lstm"]["step_ms"]),
        ):  # fmt: skip
            digits = len(told.partition(".")[2])
            assert float(told) == pytest.approx(number, abs=0.501 * 10**-digits), task
