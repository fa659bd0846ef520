"""Every block of the page on reuse runs, in order, in one folder and one process."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from seqlab.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "reuse.md").read_text("utf-8")
BASH = str(shutil.which("bash"))
BLOCK = re.compile(r"^```(bash|python|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What each command of the page printed, by its first words."""
    folder = tmp_path_factory.mktemp("reuse")
    found = {}
    with contextlib.chdir(folder):
        for language, code in BLOCK.findall(PAGE):
            said = io.StringIO()
            if language == "python":
                with contextlib.redirect_stdout(said):
                    exec(code, {})  # noqa: S102  # the page's own code
                found[code] = said.getvalue()
            elif language == "bash":
                found |= dict(commands(code))
    return folder, found


def commands(code):
    """Runs a block: commands of seqlab in this process, since it takes long to start."""
    joined = code.replace("\\\n", " ")
    parts = re.split(r"^(seqlab .*)$", joined, flags=re.MULTILINE)
    for part in parts:
        if not part.startswith("seqlab "):
            subprocess.run([BASH, "-euc", part], check=True)
            continue
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            assert main([*shlex.split(part)[1:], "report=false"]) == 0
        yield " ".join(part.split()), said.getvalue()


def test_the_table_is_the_one_on_the_page(printed):
    _, found = printed
    (said,) = (text for command, text in found.items() if "start=lm/bundle" in command)
    (shown,) = (code for language, code in BLOCK.findall(PAGE) if code.startswith("start: lm"))
    assert [line.split() for line in said.splitlines() if line.split()[:1] == ["start:"]] == [
        shown.splitlines()[0].split()
    ]
    begin = said.index("start: lm/bundle")
    table = said[begin:].splitlines()[: len(shown.splitlines())]
    assert [line.split() for line in table] == [line.split() for line in shown.splitlines()]


def test_the_run_took_what_it_says_and_went_further(printed):
    folder, found = printed
    result = json.loads((folder / "films" / "result.json").read_text("utf-8"))
    assert result["start"]["bundle"] == "lm/bundle"
    assert result["start"]["taken"] > result["start"]["new"]
    assert result["ended"] == "trainer.max_epochs=6"
    (said,) = (text for command, text in found.items() if "resume=films" in command)
    assert "trainer.max_epochs is 6 from here on" in said
    answers = [text.strip() for code, text in found.items() if "from_pretrained" in code]
    assert set(answers) <= {"good", "bad"}
    assert answers


@pytest.mark.parametrize(
    "key", ["parts", "vocabulary", "sizes", "freeze", "unfreeze", "rates", "decay"]
)
def test_every_key_is_on_the_page(key):
    assert f"`start.{key}" in PAGE
