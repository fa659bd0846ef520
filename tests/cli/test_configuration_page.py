"""The commands on docs/configuration.md compose, and what it says of verbs is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from seqlab.config.overrides import expand

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^seqlab train (.+)$", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize("words", COMMANDS)
def test_the_commands_compose(command, words):
    split = [word for word in shlex.split(words) if word != "-m"]
    single = [word.partition(",")[0] if "[" not in word else word for word in split]
    outcome = command("train", "--cfg", "job", *single)
    assert (outcome.code, outcome.err) == (0, "")


def test_the_short_keys_of_the_table_are_those_of_the_command_line():
    table = re.findall(r"^\| `(\w+)[.`][^|]*\| `(encoder\.\w+)", PAGE, flags=re.MULTILINE)
    assert len(table) == 3
    for short, long in table:
        assert expand(f"{short}.x=1") == f"{long}.x=1"
