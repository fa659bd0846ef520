"""Certificates: what they hold, how they are shipped and read, and how people see them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import seqlab
from seqlab import plugins
from seqlab.testing import Settings, check_merge, read_certificate
from seqlab.testing.certificate import (
    FILE,
    certificate_status,
    code_digest,
    make_certificate,
    make_entry,
    package_folder,
)
from seqlab.testing.report import to_html, to_text
from seqlab.testing.result import CheckResult

PASSED = CheckResult("adds", "passed", says="It adds.", catches="wrong sums.", numbers={"n": 3})
FAILED = CheckResult("ends", "failed", "runs <b>on</b>", "It ends.", "endless loops.", 1.25)
SKIPPED = CheckResult("flies", "skipped", "no wings", "It flies.", "weight.")
EXPECTED = CheckResult("swims", "expected failure", "no water (0 l)", "It swims.", "drought.")


def entry(*results, name="sum"):
    return make_entry("merge", name, results, {"a": 1})


def test_an_entry_says_what_passed_with_which_versions_of_which_code():
    made = entry(PASSED, SKIPPED, EXPECTED)
    assert made["passed"]
    assert made["target"] == "seqlab.wrappers.merges:Sum"
    assert made["counts"] == {"passed": 1, "failed": 0, "skipped": 1, "expected failure": 1}
    assert made["versions"]["seqlab"] == seqlab.__version__
    assert set(made["versions"]) == {"python", "torch", "seqlab"}
    assert made["distribution"] == "seqlab"
    assert re.fullmatch(r"[0-9a-f]{64}", made["digest"]["sha256"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", made["date"])
    assert (
        json.loads(json.dumps(make_certificate([made])))["parts"][0]["checks"][0]["name"] == "adds"
    )


def test_a_failure_or_nothing_that_passed_is_no_certificate():
    assert not entry(PASSED, FAILED)["passed"]
    assert not entry(SKIPPED)["passed"]


@pytest.mark.parametrize("outcome", ["skipped", "expected failure"])
def test_nothing_is_certified_without_its_contract(outcome):
    gate = CheckResult("begins", outcome, "a reason", "It begins.", "nothing.", gate=True)
    made = entry(gate, *[PASSED] * 20)
    assert not made["passed"]
    assert made["counts"]["failed"] == 0
    assert entry(replace(gate, outcome="passed"), PASSED)["passed"]


def test_a_part_of_the_checks_is_no_whole_certificate(plugin):
    certificate = shipped(plugin, total=60)
    status = certificate_status("merge", "pretend", certificate)
    assert re.fullmatch(r"partly checked \d{4}-\d\d-\d\d \(1 of 60 checks\)", status)
    made = make_entry("merge", "sum", [PASSED], total=60)
    assert "partly checked; 1 of 60 checks ran" in to_text(make_certificate([made]))
    uncertified = shipped(plugin, passed=False, counts={"failed": 0, "skipped": 3})
    assert certificate_status("merge", "pretend", uncertified) == "not certified"


def test_a_digest_is_of_names_and_contents(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "notes.txt").write_text("not code\n")
    first = code_digest(tmp_path)
    assert first["files"] == 1
    (tmp_path / "notes.txt").write_text("still not code\n")
    assert code_digest(tmp_path) == first
    (tmp_path / "a.py").write_text("x = 2\n")
    second = code_digest(tmp_path)
    assert second["sha256"] != first["sha256"]
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert code_digest(tmp_path)["sha256"] not in (first["sha256"], second["sha256"])


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A package that is installed, as far as anybody can see, and never imported."""
    package = tmp_path / "seqlab_pretend"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    declaration = plugins.Declaration("merge", "pretend", "seqlab-pretend", "3", "seqlab_pretend:P")
    monkeypatch.syspath_prepend(tmp_path)
    real = plugins.declared
    mine = {"merge": {"pretend": declaration}}
    monkeypatch.setattr(plugins, "declared", lambda kind: {**real(kind), **mine.get(kind, {})})
    return package


def shipped(package, **changes):
    part = {**entry(PASSED), "name": "pretend", "digest": code_digest(package), **changes}
    (package / FILE).write_text(json.dumps(make_certificate([part])))
    return read_certificate("seqlab-pretend")


def test_a_shipped_certificate_is_read_without_importing_the_plugin(plugin):
    assert read_certificate("seqlab-pretend") is None
    certificate = shipped(plugin)
    status = certificate_status("merge", "pretend", certificate)
    assert re.fullmatch(r"certified \d{4}-\d\d-\d\d \(1 of 1 checks\)", status)
    assert certificate_status("merge", "other", certificate) == ""
    assert certificate_status("merge", "pretend", None) == ""
    assert read_certificate("seqlab-other") is None


def test_a_certificate_of_other_code_or_with_failures_says_so(plugin):
    certificate = shipped(plugin)
    (plugin / "more.py").write_text("")
    assert certificate_status("merge", "pretend", certificate) == "certificate is of other code"
    failed = {"passed": False, "counts": {"failed": 2}}
    assert certificate_status("merge", "pretend", shipped(plugin, **failed)) == "failed 2 checks"


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"format": 2, "parts": []}',
        '{"format": 1}',
        '{"format": 1, "parts": [{"kind": "cell"}]}',
        " " * (5 * 2**20),
    ],
)
def test_a_damaged_certificate_counts_as_none(plugin, content):
    (plugin / FILE).write_text(content)
    assert read_certificate("seqlab-pretend") is None


def test_folders_are_found_by_name_alone():
    assert package_folder("seqlab.cells.lstm:LSTMCell").name == "seqlab"
    assert package_folder("no_such_module:X") is None
    assert package_folder("json:loads").name == "json"
    assert package_folder("this:s") is None


def test_text_has_a_line_a_check_and_says_more_of_failures():
    text = to_text(make_certificate([entry(PASSED, FAILED, SKIPPED, EXPECTED)]))
    counts = "1 passed, 1 failed, 1 skipped, 1 expected failure"
    assert text.splitlines() == [
        "ok       adds     0.00 s  n 3",
        "FAILED   ends     1.25 s  runs <b>on</b>",
        "         it should hold that: It ends.",
        "         the check catches: endless loops.",
        "skipped  flies    0.00 s  no wings",
        "expected swims    0.00 s  no water (0 l)",
        f"merge sum: NOT certified; 3 of 4 checks ran: {counts}, in 1.2 s",
    ]


def test_a_terminal_gets_a_coloured_table(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    text = to_text(make_certificate([entry(PASSED, FAILED)]), colour=True)
    assert "\x1b[" in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "what it asserts" in plain
    assert "NOT certified" in plain


def test_a_narrow_terminal_gets_whole_names_and_no_sentences(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    long = replace(PASSED, name="gradients_are_exact")
    text = to_text(make_certificate([entry(long, FAILED)]), colour=True)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert long.name in plain
    assert "what it asserts" not in plain
    assert "…" not in plain


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        assert not {"src", "href"} & dict(attrs).keys()
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_and_needs_nothing_else():
    page = Page()
    certificate = make_certificate([entry(PASSED, FAILED), entry(PASSED, name="mul")])
    page.feed(to_html(certificate))
    assert page.open == []
    assert not {"script", "link", "img", "b"} & page.tags
    text = " ".join(page.text)
    for expected in (
        "runs <b>on</b>",
        "Catches: endless loops.",
        "seqlab.wrappers.merges:Mul",
        "a=1",
    ):
        assert expected in text


def test_a_real_certificate_is_json_text_and_page():
    results = check_merge("concat", settings=Settings(fast=True))
    certificate = make_certificate([make_entry("merge", "concat", results)])
    assert certificate["parts"][0]["passed"]
    assert len(to_text(certificate).splitlines()) == len(results) + 1
    assert to_html(certificate).count("<tr class=") == len(results)
