"""``seqlab certify``: words, forms, files and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from seqlab import register, registry
from seqlab.cli import main
from seqlab.data.features.numeric import NumericFeature
from seqlab.errors import DataError
from seqlab.wrappers.merges import Sum


class Half(Sum):
    """A sum that is half as wide as it says."""

    def forward(self, forward, backward):
        return super().forward(forward, backward)[..., ::2]


class Dates(NumericFeature):
    """Takes what the kit has no column of."""

    def encode(self, values, where):
        raise DataError(f"{where(0)}: expected a date, got {values[0]!r}")


@pytest.fixture
def broken():
    register("merge", "half")(Half)
    yield "half"
    registry.unregister("merge", "half")


def test_a_good_part_is_certified(capsys):
    assert main(["certify", "merge=sum"]) == 0
    out = capsys.readouterr().out
    assert "ok       output_size_is_true" in out
    assert out.splitlines()[-1].startswith(
        "merge sum: certified; 10 of 11 checks ran: 10 passed, 1 skipped, in "
    )


def test_a_bad_part_is_not_and_the_exit_code_is_1(broken, capsys, tmp_path):
    output = tmp_path / "new" / "report.json"
    assert main(["certify", f"merge={broken}", "merge=sum", f"output={output}"]) == 1
    out = capsys.readouterr().out
    assert "FAILED   output_size_is_true" in out
    assert "expected the shape [2, 5, 4], got [2, 5, 2]" in out
    written = json.loads(output.read_text())
    assert [part["passed"] for part in written["parts"]] == [False, True]


def test_options_only_and_formats(capsys, tmp_path):
    page, text = tmp_path / "page.html", tmp_path / "page.txt"
    words = ["certify", "attention=additive", "attention.size=3", "only=weights_are_a_mean"]
    assert main([*words, "format=json", f"output={page}"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert [check["name"] for check in made["parts"][0]["checks"]] == ["weights_are_a_mean"]
    assert made["parts"][0]["options"] == {"size": 3}
    assert page.read_text().startswith("<!doctype html>")
    assert main([*words, "format=html", f"output={text}"]) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")
    assert text.read_text().startswith("ok       weights_are_a_mean")


def test_some_checks_are_no_certificate_and_no_failure(capsys):
    assert main(["certify", "merge=sum", "only=documented"]) == 0
    verdict = capsys.readouterr().out.splitlines()[-1]
    assert verdict.startswith("merge sum: partly checked; 1 of 11 checks ran: 1 passed, in ")


def test_what_cannot_be_checked_is_not_certified(capsys):
    assert main(["certify", "source=files", "fast=true"]) == 1
    assert "source files: NOT certified; " in capsys.readouterr().out


def test_all_of_a_kind(capsys):
    assert main(["certify", "search=all", "fast=true"]) == 0
    verdicts = [line for line in capsys.readouterr().out.splitlines() if "certified" in line]
    assert [line.split(":")[0] for line in verdicts] == [
        f"search {name}" for name in registry.available("search")
    ]


def test_help_says_what_it_takes(capsys):
    assert main(["certify", "--help"]) == 0
    assert "seqlab_certificate.json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "certify needs a part: cell=NAME, wrapper=NAME, head=NAME, ..."),
        (["gru"], "'gru' is not understood: expected cell=NAME or another kind"),
        (["cell="], "'cell=' is not understood: expected cell=NAME or another kind"),
        (["cell=lsmt"], "cell: unknown name 'lsmt', did you mean 'lstm'?"),
        (["cel=lstm"], "cel: unknown key, did you mean 'cell'?"),
        (["cell=gru", "format=xml"], "format: expected one of 'text', 'json', 'html', got 'xml'"),
        (["cell=gru", "fast=yes"], "fast: expected one of 'true', 'false', got 'yes'"),
        (["cell=gru", "head.crf=true"], "head.*: options for a head, and no head=NAME is given"),
        (["cell=gru", "only=nothing"], "only: no check 'nothing'"),
    ],
)
def test_a_wrong_word_is_one_line_and_exit_code_2(words, message, capsys):
    assert main(["certify", *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_an_output_that_cannot_be_written_is_said_in_one_line(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    words = ["certify", "merge=sum", f"output={tmp_path / 'file' / 'c.json'}"]
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(f"error: cannot write {tmp_path / 'file' / 'c.json'}")


def test_stripped_docstrings_are_told_of():
    done = subprocess.run(
        [sys.executable, "-OO", "-m", "seqlab", "certify", "merge=sum"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "error: the conformance kit reads its docstrings, which python -OO and PYTHONOPTIMIZE=2 "
        "take away; run it without them\n"
    )


def test_a_part_that_no_column_fits_is_not_certified(capsys):
    register("feature", "dates")(Dates)
    try:
        assert main(["certify", "feature=dates"]) == 1
    finally:
        registry.unregister("feature", "dates")
    assert "give some raw values as a class attribute 'samples'" in capsys.readouterr().out
