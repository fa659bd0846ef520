"""Nothing registered is untested, undocumented or, where its kind has configs, without one."""

from __future__ import annotations

from pathlib import Path

import pytest
from seqlab import plugins, registry
from seqlab.testing import completeness
from seqlab.testing.completeness import gaps
from seqlab.testing.kit import kinds

PAGE = Path(__file__).parents[2] / "docs" / "parts.md"


def test_every_registered_part_is_checked_documented_and_configured():
    assert [str(gap) for gap in gaps(PAGE.read_text())] == []


def test_the_kit_knows_every_kind():
    assert kinds() == sorted(registry.KINDS)


@pytest.fixture
def declared(monkeypatch):
    def declare(part):
        found = {part.name: part}
        monkeypatch.setattr(plugins, "declared", lambda kind: found if kind == part.kind else {})

    return declare


def test_what_a_part_lacks_is_named(declared, monkeypatch):
    class Bare:
        pass

    part = plugins.Declaration("cell", "bare", "seqlab", "1", "bare:Bare")
    declared(part)
    monkeypatch.setattr(registry, "get", lambda *_: Bare)
    assert [gap.lacks for gap in gaps("## cell\n\n| `gru` |\n")] == [
        "no docstring of its own",
        "no entry in docs/parts.md",
        "no config in the group cell",
    ]
    Bare.__doc__ = "A cell."
    lacks = [gap.lacks for gap in gaps("## cell\n\n| `bare` |\n")]
    assert lacks == [
        "the docstring has neither an example nor an equation",
        "no config in the group cell",
    ]
    assert str(gaps("## wrapper\n\n| `bare` |\n")[1]) == (
        "cell 'bare' of seqlab: no entry in docs/parts.md"
    )


def test_a_broken_plugin_is_a_gap(declared):
    declared(plugins.Declaration("merge", "x", "seqlab", "1", "no_such_module:X"))
    assert gaps("## merge\n\n| `x` |")[0].lacks.startswith(
        "merge 'x' of seqlab 1 (no_such_module:X)"
    )


def test_the_page_lists_each_built_in_part_with_its_sentence():
    page = completeness.parts_page()
    assert "| `lstm` | `seqlab.cells.lstm.LSTMCell` | The long short-term memory" in page
    sections = [line[3:] for line in page.splitlines() if line.startswith("## ")]
    assert sections == [kind for kind in registry.KINDS if kind in sections]
    assert {"cell", "wrapper", "head", "engine", "source", "merge"} <= set(sections)
