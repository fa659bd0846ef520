"""The table of what to write to add a part is true."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import seqlab
from seqlab import plugins, registry
from seqlab.config import search_path
from seqlab.testing.completeness import WITH_CONFIG, group_of

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| ([a-z, ]+) \| (.*?) \| `seqlab\.(\w+)` \| (.*?) \|$",
    (ROOT / "CONTRIBUTING.md").read_text("utf-8"),
    re.MULTILINE,
)


def test_every_kind_has_a_row():
    kinds = [kind for row in ROWS for kind in row[0].split(", ")]
    assert sorted(kinds) == sorted(registry.KINDS)


@pytest.mark.parametrize(("kinds", "base", "group", "config"), ROWS, ids=[row[0] for row in ROWS])
def test_the_row_is_true(kinds, base, group, config):
    home = re.search(r"`(seqlab/\S+)`", base)[1]
    for kind in kinds.split(", "):
        assert group in (kind, "KIND")
        built_in = [
            part for part in plugins.declared(kind).values() if part.distribution == "seqlab"
        ]
        modules = [part.target.partition(":")[0].replace(".", "/") + ".py" for part in built_in]
        assert modules
        place = home.removesuffix(".py")
        assert all(module.startswith(place) for module in modules), (kind, modules)
        for name in re.findall(r"`([A-Z]\w+)`", base):
            assert inspect.isclass(getattr(seqlab, name))
        assert (kind in WITH_CONFIG) == (f"`{group_of(kind)}/" in config.replace("key of ", ""))
        assert (kind in WITH_CONFIG) == (kind in {part.kind for part in search_path.PARTS.values()})
