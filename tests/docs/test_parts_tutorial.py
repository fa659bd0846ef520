"""The page on wrappers, merges, sources, targets and heads runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

_CERTIFIED = """
from seqlab.testing import Settings, check
PARTS = {"pooling": ["blended"], "wrapper": ["softened", "feedback"], "merge": ["larger"],
         "source": ["sums"], "target": ["sign"], "head": ["nearest"]}
for kind, name in [(kind, name) for kind, names in PARTS.items() for name in names]:
    found = check(kind, name, settings=Settings(fast=True))
    assert not [str(each) for each in found if each.outcome == "failed"], (name, *map(str, found))
    assert any(each.passed for each in found)
"""
PAGE = Path(__file__).parents[2] / "docs" / "tutorial-parts.md"


def test_the_blocks_of_the_page_run_in_one_process(tmp_path):
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 7
    blocks.append(_CERTIFIED)
    # names are registered for good: not in this process
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(blocks)],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
