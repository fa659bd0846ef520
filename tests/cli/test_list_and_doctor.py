from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata

import pytest
from seqlab import plugins
from seqlab.config import folders
from seqlab.registry import KINDS, available
from seqlab.verbs import doctor


class Distribution(metadata.Distribution):
    """Not installed: it has the file with its name and version alone."""

    def __init__(self, name):
        self.text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n"

    def read_text(self, filename):
        return self.text if filename == "METADATA" else None

    def locate_file(self, path):
        return path


@pytest.fixture
def declare(monkeypatch):
    """Add entry points of distributions that are not installed."""

    def add(*entries):
        found = metadata.entry_points()
        points = [point for kind in KINDS for point in found.select(group=f"seqlab.{kind}")]
        for kind, name, target, distribution in entries:
            point = metadata.EntryPoint(name, target, f"seqlab.{kind}")
            vars(point)["dist"] = Distribution(distribution)
            points.append(point)
        monkeypatch.setattr(plugins, "_all_points", lambda: metadata.EntryPoints(points))
        plugins.declared.cache_clear()

    yield add
    plugins.declared.cache_clear()


def test_list_shows_every_kind_with_its_origin(command):
    outcome = command("list")
    assert (outcome.code, outcome.err) == (0, "")
    *shown, last = outcome.out.split("\n\n")
    assert "`seqlab doctor` imports each" in last
    blocks = {block.splitlines()[0]: block.splitlines()[1:] for block in shown}
    assert list(blocks) == list(KINDS)
    lstm = next(line.split() for line in blocks["cell"] if line.split()[0] == "lstm")
    assert lstm == ["lstm", "seqlab", plugins.version_of("seqlab"), "seqlab.cells.lstm:LSTMCell"]


def test_list_of_one_kind_as_json(command):
    outcome = command("list", "kind=wrapper", "format=json")
    listed = json.loads(outcome.out)
    assert list(listed) == ["wrapper"]
    usable = [part["name"] for part in listed["wrapper"] if part["problem"] is None]
    assert sorted(usable) == available("wrapper")
    stacked = next(part for part in listed["wrapper"] if part["name"] == "stacked")
    assert stacked.pop("summary").startswith("Layers on top of each other: ``y = ")
    assert stacked == {
        "name": "stacked",
        "distribution": "seqlab",
        "version": plugins.version_of("seqlab"),
        "target": "seqlab.wrappers.stacked:StackedWrapper",
        "problem": None,
        "certificate": "",
        "equation": "y = layer_n(... layer_1(x))",
    }


def test_broken_parts_take_a_line_with_the_reason_and_break_nothing(command, declare):
    declare(
        ("cell", "twin", "one:Twin", "dist-one"),
        ("cell", "twin", "two:Twin", "dist-two"),
        ("cell", "lstm", "mine:LSTM", "dist-three"),
        ("cell", "fine", "fine:Fine", "dist-four"),
    )
    outcome = command("list", "kind=cell")
    assert outcome.code == 0
    lines = {tuple(line.split()[:2]): line for line in outcome.out.splitlines()[1:]}
    assert lines["twin", "dist-one"].endswith(
        "BROKEN: both dist-one and dist-two declare a cell named 'twin'; uninstall one, or "
        "switch one off with SEQLAB_DISABLE_PLUGINS"
    )
    assert "BROKEN: 'lstm' is the name of a built-in cell" in lines["lstm", "dist-three"]
    assert lines["fine", "dist-four"].split()[2:] == ["2.0", "fine:Fine"]
    assert "seqlab.cells.lstm:LSTMCell" in lines["lstm", "seqlab"]
    checked = command("doctor")
    assert checked.code == 1
    assert checked.out.count("error    plugin") == 3
    assert "dist-four 2.0 cannot be imported for cell 'fine': ModuleNotFoundError" in checked.out
    run = ("train", "source=files", "data=text_label", "head=classification")
    for words in (("certify", "cell=twin"), (*run, "cell=twin"), (*run, "encoder.cell.name=twin")):
        refused = command(*words)
        assert (refused.code, refused.out) == (2, "")
        assert "both dist-one and dist-two declare a cell named 'twin'" in refused.err
        assert refused.err.count("\n") == 1


def test_doctor_tells_once_why_the_parts_of_a_distribution_fail_at_import(
    command, declare, tmp_path, monkeypatch
):
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit('no\\nlicence')\n")
    monkeypatch.syspath_prepend(tmp_path)
    declare(
        ("cell", "first", "leaves:First", "dist-one"),
        ("head", "second", "leaves:Second", "dist-one"),
        ("cell", "third", "collections:NoSuchPart", "dist-two"),
    )
    listed = command("list", "kind=cell")
    assert (listed.code, "BROKEN" in listed.out) == (0, False)
    outcome = command("doctor")
    assert outcome.code == 1
    first, second = (line for line in outcome.out.splitlines() if line.startswith("error"))
    assert first.endswith(
        " dist-one 2.0 cannot be imported for cell 'first', head 'second': SystemExit: no licence"
    )
    assert " dist-two 2.0 cannot be imported for cell 'third': AttributeError: " in second


MISTAKES = [
    (["list", "kind=cel"], "kind: expected one of 'cell', 'wrapper', 'head', 'engine', "),
    (["list", "kindd=cell"], "kindd: unknown key, did you mean 'kind'? (known: format, kind)"),
    (
        ["list", "cell"],
        "'cell' is not understood: expected kind=cell|wrapper|head|engine, format=text|json",
    ),
    (["list", "format=json", "format=text"], "format: given twice"),
    (["doctor", "device=yes"], "device: expected one of 'false', 'true', got 'yes'"),
]


@pytest.mark.parametrize(("words", "start"), MISTAKES)
def test_wrong_words(command, words, start):
    outcome = command(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"error: {start}")
    assert outcome.err.count("\n") == 1


def test_doctor_finds_this_installation_in_order(command):
    outcome = command("doctor", "format=json")
    findings = json.loads(outcome.out)
    assert outcome.code == 0
    assert not [finding for finding in findings if finding["level"] == "error"]
    texts = {finding["topic"]: finding["text"] for finding in findings}
    assert texts["seqlab"] == plugins.version_of("seqlab")
    assert texts["torch"] == metadata.version("torch")
    assert texts["hydra-core"] == metadata.version("hydra-core")


def test_doctor_warns_of_shadowed_yaml_and_still_exits_with_0(command, monkeypatch):
    monkeypatch.setattr(
        folders, "shadowed", lambda: [("cell/lstm.yaml", ["seqlab", "plug-a", "plug-b"])]
    )
    outcome = command("doctor")
    assert outcome.code == 0
    line = next(line for line in outcome.out.splitlines() if line.startswith("warning"))
    assert line.endswith("cell/lstm.yaml of plug-a and plug-b is hidden by that of seqlab")


def test_doctor_finds_missing_and_unfit_distributions(command, monkeypatch):
    needs = ["torch>=999", "no-such-distribution>=1", "only-elsewhere; python_version < '3'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: needs)
    outcome = command("doctor")
    assert outcome.code == 1
    assert f"{metadata.version('torch')}, and seqlab needs >=999" in outcome.out
    assert "not installed: pip install 'no-such-distribution>=1'" in outcome.out
    assert "only-elsewhere" not in outcome.out


def test_doctor_finds_missing_folders_compilers_and_caches(command, monkeypatch, tmp_path):
    monkeypatch.setattr(plugins, "config_packages", lambda: [("gone", "gone_plugin.conf")])
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "access", lambda path, _: str(path) != str(tmp_path))
    outcome = command("doctor")
    assert outcome.code == 1
    assert "gone: there is no folder for package 'gone_plugin.conf'" in outcome.out
    assert "no C++ compiler found (no-such-compiler); cells run uncompiled" in outcome.out
    assert f"{tmp_path / 'cache'} cannot be written" in outcome.out


def test_doctor_asks_torch_only_when_told(command):
    assert "threads" not in command("doctor").out
    assert "cpu, 1 threads" in command("doctor", "device=true").out


HEAVY = ("torch", "hydra", "omegaconf", "datasets", "pytorch_lightning", "numpy", "seqlab_mgu")
PROBE = f"""
import sys
from seqlab.cli import main
code = main(sys.argv[1:])
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("verb", ["list", "--help", "--version"])
def test_light_verbs_import_nothing_heavy(verb):
    done = subprocess.run(
        [sys.executable, "-c", PROBE, verb], capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"


def test_doctor_names_entry_points_of_groups_that_nobody_reads(command, tmp_path, monkeypatch):
    info = tmp_path / "misspelt_parts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: misspelt-parts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[seqlab.cel]\nmine = misspelt_parts:Mine\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins.refresh()
    try:
        outcome = command("doctor")
    finally:
        monkeypatch.undo()
        plugins.refresh()
    assert outcome.code == 0
    assert (
        "misspelt-parts: entry points of the unknown group seqlab.cel are not read, "
        "did you mean 'seqlab.cell'?"
    ) in outcome.out
