"""Every example in a docstring of seqlab and of its plugins is run."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest
import seqlab

ROOT = Path(__file__).parents[2]
FOLDERS = [Path(seqlab.__file__).parent, *ROOT.glob("plugins/*/seqlab_*")]


def with_examples(folder):
    """The modules of a package in which examples stand."""
    for path in sorted(folder.rglob("*.py")):
        if ">>> " in path.read_text("utf-8"):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__")


MODULES = [name for folder in FOLDERS for name in with_examples(folder)]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0


def test_there_are_examples_at_all():
    assert len(MODULES) > 100
