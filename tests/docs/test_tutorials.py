"""The tutorials for plugin authors, block by block as a reader would follow them.

A block with ``file=PATH`` is written there, ``sh`` and ``python`` blocks are run in one folder, and
each line of a ``text`` block must occur in what the block before it printed, ``...`` standing for
anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

DOCS = Path(__file__).parents[2] / "docs"


class Block(NamedTuple):
    language: str
    words: tuple[str, ...]
    text: str


def blocks(page):
    found = re.findall(
        r"^```(\w+)([^\n]*)\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    return [Block(language, tuple(words.split()), text) for language, words, text in found]


@pytest.fixture
def follow(tmp_path):
    """Run blocks in an empty folder, where pip installs into a folder of the test's own."""
    site = tmp_path / "site"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(site),
        "PIP_TARGET": str(site),
        "PIP_UPGRADE": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "OMP_NUM_THREADS": "1",
    }
    work = tmp_path / "work"
    work.mkdir()

    def run(command, text):
        done = subprocess.run(
            command,
            input=text,
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def follow_all(page, *, slow=False):
        output, left_out, count = "", False, 0
        for block in blocks(page):
            target = next((w[5:] for w in block.words if w.startswith("file=")), None)
            if block.language == "text":
                for line in () if left_out else block.text.splitlines():
                    pattern = ".*".join(map(re.escape, line.split("...")))
                    assert re.search(pattern, output), f"{line!r} is not in:\n{output}"
                continue
            left_out = "slow" in block.words and not slow
            if target is not None:
                assert (work / target).is_file(), target
                (work / target).write_text(block.text, "utf-8")
            elif not left_out:
                shell = ["bash", "-e"] if block.language == "sh" else [sys.executable, "-"]
                output = run(shell, block.text)
            count += not left_out
        return count

    return follow_all


@pytest.mark.slow
def test_every_block_of_the_page_on_engines_runs(follow):
    assert follow("tutorial-engine.md") == 5


@pytest.mark.slow
def test_every_block_of_the_page_on_plugins_runs(follow):
    assert follow("tutorial-plugin.md", slow=True) == 10
