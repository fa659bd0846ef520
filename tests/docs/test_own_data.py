"""Every block of the page on own data runs, in order, in one folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from seqlab import plugins

from forked_shell import ForkedShell

PAGE = (Path(__file__).parents[2] / "docs" / "own-data.md").read_text("utf-8")
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What each block printed."""
    folder = tmp_path_factory.mktemp("own-data")
    with ForkedShell() as shell:
        return [shell.run(language, code, folder) for language, code in BLOCK.findall(PAGE)]


def answers(output):
    return [json.loads(line) for line in output.splitlines() if line.startswith('{"input"')]


def test_the_blocks_do_what_the_page_says(printed):
    films, skipped, folds, forecast, _, _, people, _, language, python = printed
    assert [answer["input"]["id"] for answer in answers(films)] == list("123456")
    assert answers(films)[0]["input"]["text"] == "a moving, funny film"
    assert skipped.split() == ["2", "1"]
    assert [line.split()[:2] for line in folds.splitlines() if line.startswith("  ")][1:4] == [
        ["0", "2"], ["1", "2"], ["2", "2"],
    ]  # fmt: skip
    last = [(answer["input"]["place"], answer["part"]) for answer in answers(forecast)]
    assert last == [("north", "steps 177-200"), ("south", "steps 177-200")]
    assert "baseline (last value)" in forecast
    (answer,) = answers(people)
    assert answer["input"] == {"tokens": ["Ada", "sang"]}
    assert len(answer["tags"]) == 2
    scores = answers(language)
    assert [len(score["both"]) for score in scores] == [len(score["input"]) for score in scores]
    assert len(scores) == 6
    written = [json.loads(line) for line in language.splitlines() if line.startswith('{"prompt"')]
    assert [line["text"][:4] for line in written] == ["the ", "the "]
    assert language.splitlines()[-1].startswith("the c")
    assert python.strip() == "2"


@pytest.mark.parametrize("kind", ["format", "transform", "feature", "target"])
def test_the_page_names_every_part(kind):
    for part in plugins.declared(kind).values():
        if part.distribution == plugins.BUILT_IN:
            assert f"`{part.name}`" in PAGE, part.name
