"""What is printed: tables, samples, and prose in terminals of any width."""

import os
import re
import sys

import pytest
from seqlab import console

PROSE = (
    "gru is better than lstm: a difference of +0.0123 (+0.001 to +0.023), 12% less error; "
    "a-run-with-a-long-name-of-its-own at /some/folder/that/is/long/too/run-2026-11-26."
)


@pytest.mark.parametrize("width", [20, 60, 80, 160])
def test_prose_breaks_between_words_on_a_terminal(width, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    console.paragraph(PROSE)
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines).split() == PROSE.split()
    longest = max(map(len, PROSE.split()))
    assert all(len(line) <= max(width, longest) for line in lines)
    assert len(lines) > 1


def test_prose_is_one_line_where_no_terminal_is(monkeypatch, capsys):
    monkeypatch.setitem(os.environ, "COLUMNS", "40")
    console.paragraph(PROSE)
    assert capsys.readouterr().out == PROSE + "\n"


HEADER = ["pair", "difference", "interval", "better"]
ROWS = [
    ["lstm - gru", "+0.0425", "-0.1677 .. 0.2527", "undecided"],
    ["stacked_bidirectional - none", "-0.0535", "-1.104 .. 0.9967", "none"],
]


@pytest.mark.parametrize("width", [40, 60, 72, 80, 160])
def test_tables_are_whole_in_terminals_of_any_width(width, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    console.table("pairs", HEADER, ROWS)
    printed = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    lines = printed.splitlines()
    assert all(len(line) <= width for line in lines)
    for cell in [*HEADER[1:], *(cell for row in ROWS for cell in row)]:
        assert any(cell in line for line in lines), cell
    assert ("┃" in printed) == (width >= 80)
    assert ("    difference  -0.0535" in lines) == (width < 72)


def test_what_is_missing_has_no_line_in_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "20")
    console.metric_table("metrics", {"test": {"loss": 1.0, "f1": 0.5}, "baseline": {"f1": 0.25}})
    assert capsys.readouterr().out.splitlines() == [
        "metrics", "  loss", "    test      1.0000",
        "  f1", "    test      0.5000", "    baseline  0.2500",
    ]  # fmt: skip


def test_samples_name_their_target_where_there_are_several(capsys):
    rows = [("a b", "X Y", "X Z", False), ("a b", ["1", "2"], ["1", "2"], True)]
    console.samples("samples", rows, ["upos", "number"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "  target     upos"
    assert lines[4] == "  predicted  X Z  x"
    assert lines[7] == "  target     number"
    assert lines[9] == "  predicted  1 2  ="
