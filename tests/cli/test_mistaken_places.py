"""What is not there, or taken: data sets, choices, bundles, folders; and a user's own YAML."""

from __future__ import annotations

import sys

import pytest
from seqlab import plugins


@pytest.fixture
def without_datasets(monkeypatch):
    monkeypatch.setenv("SEQLAB_DISABLE_PLUGINS", "seqlab-datasets")
    plugins.declared.cache_clear()
    yield
    plugins.declared.cache_clear()


@pytest.mark.usefixtures("without_datasets")
@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("experiment=g2p", "experiment=g2p"),
        ("source=reuters_r8", "source=reuters_r8"),
        ("source.name=scan", "source.name: source 'scan'"),
    ],
)
def test_data_sets_that_are_not_installed(train, tmp_path, word, part):
    outcome = train(word)
    assert outcome.code == 2
    assert outcome.err == (
        f"error: {part} is not installed: it comes with seqlab-datasets: pip install "
        "seqlab-datasets (in a checkout: pip install ./plugins/seqlab-datasets)\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_nothing_chosen(command, trained, tmp_path):
    outcome = command("train")
    assert outcome.code == 2
    assert outcome.err.startswith(
        "error: nothing was chosen for source, data, head: give experiment=NAME"
    )
    assert outcome.err.endswith("or source=NAME data=NAME head=NAME\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["evaluate", "predict"])
def test_no_bundle(command, verb, tmp_path):
    outcome = command(verb)
    message = "error: bundle: no value was given; give the folder as bundle=DIR\n"
    assert (outcome.code, outcome.err) == (2, message)
    assert list(tmp_path.iterdir()) == []


def test_two_runs_in_one_folder_and_the_first_stays_untouched(train, tmp_path):
    sys.modules["seqlab.verbs.train"].KEEPS_FOLDER = True
    folder = tmp_path / "run"
    assert train("hydra.run.dir=run").code == 0
    (folder / "result.json").write_text("{}")
    before = (folder / ".hydra" / "config.yaml").read_text()
    outcome = train("hydra.run.dir=run", "seed=5")
    assert outcome.code == 2
    assert outcome.err == (
        f"error: run folder {folder} already holds a finished run (result.json); "
        "choose another with hydra.run.dir=FOLDER\n"
    )
    assert (folder / ".hydra" / "config.yaml").read_text() == before
    assert len(train.calls) == 1


def test_a_mistake_in_a_users_yaml_is_named(train, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    broken = tmp_path / "mine" / "experiment" / "broken.yaml"
    broken.write_text("# @package _global_\ntrainer: {max_epochs: 3\n")
    outcome = train("--config-dir", "mine", "experiment=broken")
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert "broken.yaml" in outcome.err
    assert "line 3" in outcome.err
    assert outcome.err.count("\n") == 1
    broken.write_text("# @package _global_\ndefaults:\n  - /optimizer@other: adamm\n")
    outcome = train("--config-dir", "mine", "experiment=broken")
    start = (
        "error: experiment/broken.yaml: optimizer=adamm: there is no such optimizer, did you mean"
    )
    assert outcome.err.startswith(start)


def test_an_output_folder_that_cannot_be_made(train, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    outcome = train(f"hydra.run.dir={tmp_path / 'file' / 'run'}")
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {tmp_path / 'file'}")
    assert outcome.err.endswith("choose another with hydra.run.dir=FOLDER\n")
    assert outcome.err.count("\n") == 1
