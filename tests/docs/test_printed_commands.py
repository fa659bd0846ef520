"""Commands that README, pages, help and messages print are commands: each is run.

The blocks that other tests run whole (``bash`` and ``sh``) are left to them; here are the lists of
commands in ``text`` blocks, and what stands in backquotes in prose, help and error messages. Those
that train are composed; the long tests run them with few batches, and compose the comparisons.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from seqlab.bundle import save_bundle
from seqlab.cli import VERBS, main

from small_runs import changed, pairs_spec, untrained, words_spec

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = sorted((ROOT / "seqlab").rglob("*.py"))
#: What stands for something of the user's, and a thing of that kind.
MEANT = {
    r" \[[^\]]*\](?= |$)|KIND.OPTION=VALUE": "",
    r" \.\.\. match": " experiment=mnist1d cell=lstm,gru match",
    r" \.\.\.(?= )": "",
    r"KIND=NAME|cell=NAME": "cell=gru",
    r"leaky_gate": "gru",  # the page registers it in Python
    r"KIND NAME": "cell fresh",
    r"(format|transform) NAME": r"\1 fresh",
    r"experiment=NAME": "experiment=mnist1d",
    r"\{(kind|group)\}": "cell",
    r"VERB|verb": "list",
    r"SHELL": "bash",
    r"PACKAGE/|seqlab_mgu/": "",
    r"bundle=DIR format=step": "bundle=causal format=step",
    r"bundle=(DIR|\S*folder|\S*/bundle)(?=.* 'search)": "bundle=reversing",
    r"bundle=(DIR|\S*folder|\S*/bundle)": "bundle=bundle",
    r"input=BUNDLE": "input=bundle",
    r"input=FILE(?=.* 'search)": "input=rows.tsv",
    r"(convert.*)input=(FILE|model.keras)": r"\1input=weights.pt",
    r"(convert)(?= bits)": r"\1 input=bundle output=written",
    r"input=FILE": "input=rows.csv",
    r"predictions=FILE": "predictions=answers.jsonl",
    r"output=(DIR|PATH)": "output=written",
    r"resume=DIR": "resume=run",
    r"start=me/films": "start=bundle",
    r"new-plugin$": "new-plugin cell fresh",
    r"new-plugin modifier NAME": "new-plugin modifier fresh",
}
#: What makes a run short, by the verbs that train.
LIMITS = (
    "trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1", "samples=0",
)  # fmt: skip
SHORT = {
    "train": (*LIMITS, "hydra.run.dir=trained", "hydra.sweep.dir=swept"),
    "sweep": (*LIMITS, "hydra.run.dir=swept", "sweep.trials=2"),
    "certify": ("fast=true",),
    "compare": ("--cfg", "job"),  # it trains each contestant with each seed
}
#: Left out, each with the reason.
LEFT_OUT = {
    "seqlab push bundle=DIR to=OWNER/NAME": "sends files to an account on the hub",
    "seqlab push bundle=films/bundle to=me/films private=true": "sends files to an account",
    "seqlab convert input=g2pM-0.1.2.5-py3-none-any.whl layout=g2pm output=chinese": (
        "a wheel of others; tests/published fetches it and runs the same"
    ),
    "seqlab convert input=g2p_en-2.1.0-py3-none-any.whl layout=g2p_en output=english": (
        "a wheel of others; tests/published fetches it and runs the same"
    ),
    "seqlab crossvalidate resume=DIR": "one that was stopped: tests/verbs/test_crossvalidate.py",
}  # fmt: skip
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


def is_quick(command):
    """Whether it neither trains nor checks anything."""
    return command.split()[1] in QUICK or command.endswith("--help")


LONG = [c for c in COMMANDS if not is_quick(c) and c not in LEFT_OUT]
RUNS = [c for c in LONG if c.split()[1] == "train" and "resume=" not in c]


def words_of(command):
    """The words of a command with everything of the user's filled in."""
    for placeholder, value in MEANT.items():
        command = re.sub(placeholder, value, command)
    words = shlex.split(command)[1:]
    plain = [re.sub(r"=\{\S+: .*\}$", "=", word) for word in words]  # a value may be a mapping
    assert not [word for word in plain if re.search(r"\b[A-Z]{3,}\b|[{}]", word)], words
    return words


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    """A folder with bundles, a finished run, weights of torch, and rows."""
    folder = tmp_path_factory.mktemp("things")
    words = words_spec(folder)
    specs = {
        "bundle": words,
        "causal": changed(words, encoder__wrappers=[]),
        "reversing": pairs_spec(folder),
    }
    for name, spec in specs.items():
        torch.manual_seed(1)
        model, data = untrained(spec)
        save_bundle(folder / name, model, data.processor, spec)
    torch.save(torch.nn.GRU(3, 4).state_dict(), folder / "weights.pt")
    (folder / "rows.csv").write_text("word,kind\nabc,few\nbad,many\n")
    (folder / "rows.tsv").write_text("there\tback\nxyz\tZYX\n")
    (folder / "mine.csv").write_text("text,label\na b,good\nb c,bad\n")
    return folder


@pytest.fixture
def workplace(things, tmp_path, monkeypatch):
    """A folder of a test's own with these things."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(things, tmp_path, dirs_exist_ok=True)
    return tmp_path


def run(command, *more):
    words = words_of(command)
    assert words[0] in (*VERBS, *QUICK), command
    keys = {word.partition("=")[0] for word in words}
    if words[0] == "train" and not {"experiment", "source", "resume", "--help"} & keys:
        own = ["source=files", "source.train=rows.csv", "source.test=rows.csv", "data=text_label",
               "data.features.text.column=word", "data.target.column=kind", "head=classification",
               "data.validation=0.5", "data.features.text.tokenizer=chars"]  # fmt: skip
        words += own if "start" in keys else ["experiment=mnist1d"]
    assert main([*words, *more]) == 0, command


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("command", [c for c in COMMANDS if is_quick(c)])
def test_quick_commands_run(command, capsys):
    run(command)
    assert capsys.readouterr().out


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("command", RUNS)
def test_runs_compose(command, capsys):
    run(re.sub(r" -m .*", "", command), "--cfg", "job")
    assert "encoder" in capsys.readouterr().out


def test_what_is_left_out_is_printed_somewhere():
    assert set(LEFT_OUT) <= set(COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("command", LONG)
def test_long_commands_run(command, workplace, capsys):
    verb = command.split()[1]
    if "resume=" in command:
        run("seqlab train experiment=mnist1d", "scheduler=none", *SHORT[verb], "hydra.run.dir=run")
        run(command, "trainer.max_epochs=2")
    else:
        run(command, *SHORT.get(verb, ()))
    assert capsys.readouterr().out
