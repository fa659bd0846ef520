"""Commands that README, pages, help and messages print are commands: each is run.

The blocks that other tests run whole (``bash`` and ``sh``) are left to them; here are the lists of
commands in ``text`` blocks, and what stands in backquotes in prose, help and error messages.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from seqlab.bundle import save_bundle
from seqlab.cli import VERBS, main

from small_runs import untrained, words_spec

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = sorted((ROOT / "seqlab").rglob("*.py"))
#: What stands for something of the user's, and a thing of that kind.
MEANT = {
    r"(?<!: )\[.*?\]| \.\.\.(?= )|KIND.OPTION=VALUE": "",
    r"KIND=NAME|cell=NAME": "cell=gru",
    r"leaky_gate": "gru",  # the page registers it in Python
    r"KIND NAME": "cell fresh",
    r"(format|transform) NAME": r"\1 fresh",
    r"experiment=NAME": "experiment=mnist1d",
    r"\{(kind|group)\}": "cell",
    r"VERB|verb": "list",
    r"SHELL": "bash",
    r"PACKAGE/": "",
    r"bundle=(DIR|\S*folder)": "bundle=bundle",
    r"input=FILE|input=model.keras": "input={input}",
    r"predictions=FILE": "predictions=answers.jsonl",
    r"output=(DIR|PATH)": "output=written",
    r"resume=DIR": "resume=run",
    r"new-plugin$": "new-plugin cell fresh",
    r"new-plugin modifier NAME": "new-plugin modifier fresh",
}
SHORT = (
    "trainer.max_steps=2", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1",
    "samples=0", "hydra.run.dir=run", "hydra.sweep.dir=sweep",
)  # fmt: skip
QUICK = ("list", "doctor", "new-plugin", "--help", "-sc")


BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def listed():
    """The lines of ``text`` blocks and of blocks of no language that begin with ``seqlab``."""
    for page in PAGES:
        for language, block in BLOCK.findall(page.read_text("utf-8")):
            if language in ("", "text"):
                lines = re.sub(r"\s*\\\n\s*", " ", block)
                yield from re.findall(r"^(seqlab [^#\n]+?)\s*(?:#.*)?$", lines, re.MULTILINE)


def quoted():
    """What stands in backquotes; a verb alone is no command."""
    for path in [*PAGES, *SOURCES]:
        for text in re.findall(r"`(seqlab [^`\n]+)`", path.read_text("utf-8")):
            if len(text.split()) > 2 or text.split()[1] in QUICK:
                yield text.partition(" | ")[0]


COMMANDS = sorted({*listed(), *quoted(), *(f"seqlab {verb} --help" for verb in VERBS)})
RUNS = [command for command in COMMANDS if command.split()[1] == "train"]


def is_quick(command):
    """Whether it neither trains nor checks anything."""
    return command.split()[1] in QUICK or command.endswith("--help")


def words_of(command, given):
    """The words of a command with everything of the user's filled in."""
    for placeholder, value in MEANT.items():
        command = re.sub(placeholder, value, command)
    words = shlex.split(command.replace("{input}", given))[1:]
    plain = [re.sub(r"=\{\S+: .*\}$", "=", word) for word in words]  # a value may be a mapping
    assert not [word for word in plain if re.search(r"\b[A-Z]{3,}\b|[{}]", word)], words
    return words


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with a bundle, weights of torch, and rows."""
    monkeypatch.chdir(tmp_path)
    spec = words_spec(tmp_path)
    torch.manual_seed(1)
    model, data = untrained(spec)
    save_bundle("bundle", model, data.processor, spec)
    torch.save(torch.nn.GRU(3, 4).state_dict(), "weights.pt")
    Path("rows.csv").write_text("word\nabc\n")


def run(command, *more):
    words = words_of(command, "weights.pt" if " convert " in command else "rows.csv")
    assert words[0] in (*VERBS, *QUICK), command
    if words[0] == "train":
        words = [word for word in words if word != "resume=run"] + list(more)
        if not {"experiment", "source", "--help"} & {word.partition("=")[0] for word in words}:
            words.append("experiment=mnist1d")
    assert main(words) == 0, command


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("command", [c for c in COMMANDS if is_quick(c)])
def test_quick_commands_run(command, capsys):
    run(command)
    assert capsys.readouterr().out


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("command", [c for c in RUNS if not is_quick(c)])
def test_runs_compose(command, capsys):
    run(re.sub(r" -m .*", "", command), "--cfg", "job")
    assert "encoder" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("command", [c for c in COMMANDS if not is_quick(c)])
def test_long_commands_run(command, capsys):
    run(command, *SHORT)
    assert capsys.readouterr().out
