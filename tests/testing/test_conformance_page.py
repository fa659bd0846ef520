"""The page on the conformance kit runs as it stands, and its numbers are true."""

from __future__ import annotations

import re
from pathlib import Path

from seqlab.testing.kit import make_run

PAGE = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text()


def test_every_block_runs():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 4
    names = {"__name__": "page"}
    for block in blocks:
        exec(block, names)  # noqa: S102  # the page's own code
    assert names["failed"][0].says == names["result"].says


def test_the_numbers_of_checks_are_those_of_the_kit():
    cells = int(re.search(r"a cell against about (\d+)\s+checks", PAGE)[1])
    wrappers = int(re.search(r"a wrapper against about (\d+)", PAGE)[1])
    assert abs(len(make_run("cell", "gru").checks) - cells) <= 10
    assert abs(len(make_run("wrapper", "stacked").checks) - wrappers) <= 10
