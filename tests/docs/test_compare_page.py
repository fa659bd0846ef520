"""Every block of the page on comparisons runs, in order, in one folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

from forked_shell import ForkedShell

PAGE = (Path(__file__).parents[2] / "docs" / "compare.md").read_text("utf-8")


def test_the_blocks_do_what_the_page_says(tmp_path):
    with ForkedShell() as shell:
        for code in re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
            shell.run("bash", code, tmp_path)
    cells, named, sweep = (
        json.loads((tmp_path / name / "compare.json").read_text("utf-8"))
        for name in ("cells", "named", "sweep")
    )
    assert cells["seeds"] == [0, 1, 2, 3]
    assert cells["looked_again"]
    assert [one["name"] for one in named["contestants"]] == ["plain", "two", "pooled"]
    assert [one["name"] for one in sweep["contestants"]] == ["rnn", "gru"]
    keys = set(re.findall(r"`(\w+)`", PAGE.split("## compare.json")[1]))
    for found in (cells["contestants"][0], cells["pairs"][0], cells):
        missing = set(found) - keys - {"contestants", "pairs", "metric", "split", "matched_seconds"}
        assert missing <= {"looked_again", "match"}
