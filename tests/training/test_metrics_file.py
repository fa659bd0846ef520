from __future__ import annotations

import csv
import io

from seqlab.console import metric_table, samples, shorten, table
from seqlab.training.metrics_file import MetricsFile


def read(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_new_columns_widen_the_rows_before(tmp_path):
    file = MetricsFile(tmp_path / "metrics.csv")
    file.keep(0)
    file.write({"step": 1, "loss": 0.5, "seconds": 1})
    file.write({"step": 2, "loss": 0.25, "val_f1": 0.75, "seconds": 2})
    file.write({"step": 3, "seconds": 3})
    assert (tmp_path / "metrics.csv").read_text().splitlines() == [
        "step,loss,val_f1,seconds",
        "1,0.5,,1",
        "2,0.25,0.75,2",
        "3,,,3",
    ]
    assert file.rows == 3


def test_rows_after_the_checkpoint_are_dropped(tmp_path):
    path = tmp_path / "metrics.csv"
    first = MetricsFile(path)
    first.keep(0)
    for step in range(1, 6):
        first.write({"step": step, "loss": step / 2})
    with path.open("a") as stream:
        stream.write("6,")  # killed while it wrote
    second = MetricsFile(path)
    second.keep(3)
    second.write({"step": 4, "loss": 9.0})
    assert [(row["step"], row["loss"]) for row in read(path)] == [
        ("1", "0.5"),
        ("2", "1.0"),
        ("3", "1.5"),
        ("4", "9.0"),
    ]


def test_a_fresh_run_begins_an_empty_file(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("old,row\n1,2\n")
    file = MetricsFile(path)
    file.keep(0)
    assert path.read_text() == ""
    file.write({"step": 1})
    assert path.read_text() == "step\n1\n" or path.read_bytes() == b"step\r\n1\r\n"


def test_plain_tables_are_aligned(capsys):
    table("title", ["metric", "test"], [["accuracy", "0.5000"], ["loss", "12345"]])
    assert capsys.readouterr().out.splitlines() == [
        "title",
        "  metric      test",
        "  accuracy  0.5000",
        "  loss       12345",
    ]


def test_metric_table_leaves_gaps(capsys):
    metric_table("t", {"test": {"accuracy": 0.5}, "baseline": {"f1": 0.25}})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["metric", "test", "baseline"],
        ["accuracy", "0.5000", "-"],
        ["f1", "-", "0.2500"],
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_tables_on_a_terminal_are_drawn_and_never_interpreted(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    table("title", ["metric", "test"], [["[red]accuracy[/red]", "0.5"]])
    assert "[red]accuracy[/red]" in stream.getvalue()


def test_samples_mark_right_and_wrong(capsys):
    samples("samples", [("ab c", "x y", ["x", "y"], True), ([1, 2], "p", "q", False)])
    out = capsys.readouterr().out
    assert "predicted  x y  =" in out
    assert "predicted  q  x" in out


def test_long_values_are_cut():
    assert len(shorten([0.123456] * 100)) == 72
    assert shorten("a\n b") == "a b"
