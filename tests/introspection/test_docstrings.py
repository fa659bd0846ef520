from __future__ import annotations

import sys

import pytest
from seqlab import plugins
from seqlab.introspection.docstrings import describe, docstring_of
from seqlab.registry import KINDS
from seqlab.source_signatures import module_file


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write a package that must never be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name, **files):
        folder = tmp_path / name
        folder.mkdir()
        for file, text in {"__init__": "", **files}.items():
            (folder / f"{file}.py").write_text(text, encoding="utf-8")

    yield write
    assert not [name for name in sys.modules if name.startswith("shy_")]


TRAP = "raise SystemExit('imported')\n"


def test_summary_and_equation_without_import(package):
    package(
        "shy_one",
        __init__=TRAP + "from .inner import Cell as Shown\nfrom shy_one.inner import plain\n",
        inner=TRAP
        + 'class Cell:\n    """A cell (Nobody et al., 2020). And more.\n\n'
        + "        z_t = sigmoid(W x_t)      gate\n        h_t = z_t * x_t           output\n"
        + '\n    Args:\n        a = b: not this\n    """\n'
        + 'def plain():\n    """Nothing to see, e.g. ``y = 2 x`` or ``not == this``."""\n',
    )
    assert describe("shy_one:Shown") == ("A cell (Nobody et al., 2020).", "h_t = z_t * x_t")
    assert describe("shy_one:plain").equation == "y = 2 x"
    assert describe("shy_one.inner:Cell").summary == "A cell (Nobody et al., 2020)."


@pytest.mark.parametrize(
    "target",
    ["not_there_at_all:X", "shy_two:Missing", "shy_two.gone:X", "shy_two:Loop", "shy_two:bare"],
)
def test_what_cannot_be_read_is_empty(package, target):
    package("shy_two", __init__="from shy_two import Loop\ndef bare(): pass\n", bad="class (:")
    assert describe(target) == ("", "")
    assert docstring_of("shy_two.bad:X") == ""


def test_a_large_file_is_left_alone(package):
    package("shy_three", __init__='class X:\n    """Text."""\n' + "#" * 2**20)
    assert describe("shy_three:X") == ("", "")


def test_modules_are_found_by_path():
    assert module_file("seqlab.cells.lstm").name == "lstm.py"
    assert module_file("seqlab.cells").name == "__init__.py"
    assert module_file("sys") is None


def test_every_part_of_seqlab_has_a_summary():
    empty = [
        (kind, part.name)
        for kind in KINDS
        for part in plugins.declared(kind).values()
        if part.distribution == "seqlab" and not describe(part.target).summary
    ]
    assert empty == []
