"""`seqlab train`: what Hydra composes is what the verb gets."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import types
from pathlib import Path

import pytest
from hydra._internal.hydra import Hydra
from seqlab import cli, registry
from seqlab.config import folders
from seqlab.data.sources import splits
from seqlab.errors import DataError


def spec_of(train, *words):
    outcome = train(*words)
    assert (outcome.code, outcome.err) == (0, "")
    return train.calls[-1][0]


def test_the_spec_has_the_documented_form_and_is_plain(train):
    spec = spec_of(train)
    assert spec == json.loads(json.dumps(spec))
    assert list(spec["encoder"]["cell"].items()) == [("name", "lstm"), ("hidden_size", 128)]
    assert spec["encoder"]["wrappers"] == [{"name": "bidirectional", "merge_mode": "concat"}]
    assert spec["source"] == {"name": "toy", "path": "x.csv"}
    assert spec["head"] == {"name": "toy_head"}
    assert spec["data"]["target"] == {
        "column": "label", "kind": "label", "several": False, "unseen": "refuse",
    }  # fmt: skip
    assert spec["optimizer"]["name"] == "adamw"
    assert spec["scheduler"] == {"name": "none"}
    assert spec["trainer"]["max_epochs"] == "auto"
    assert spec["callbacks"]["early_stopping"]["patience"] == 5
    assert spec["logger"]["tensorboard"] is False
    assert (spec["seed"], spec["resume"], spec["samples"]) == (0, None, 5)


def test_options_that_no_yaml_lists_need_no_plus(train):
    spec = spec_of(
        train,
        "cell=gru",
        "cell.recurrent_dropout=0.2",
        "encoder.cell.hidden_size=7",
        "wrapper=stacked_bidirectional",
        "wrappers.1.residual=true",
        "head.smoothing=0.1",
        "source.rows=9",
        "embedding.features.text.size=5",
        "trainer.max_epochs=null",
        "trainer.max_steps=9",
    )
    assert spec["encoder"]["cell"] == {"name": "gru", "hidden_size": 7, "recurrent_dropout": 0.2}
    assert spec["encoder"]["wrappers"] == [
        {"name": "bidirectional", "merge_mode": "concat"},
        {"name": "stacked", "num_layers": 2, "residual": True},
    ]
    assert spec["head"]["smoothing"] == 0.1
    assert spec["source"]["rows"] == 9
    assert spec["encoder"]["embedding"]["features"] == {"text": {"size": 5}}
    assert spec["trainer"]["max_epochs"] is None


def test_hydras_prefixes_work_on_short_keys(train):
    spec = spec_of(
        train, "+cell.zoneout=0.1", "++cell.dropout=0.2", "~head.name", "head.name=toy_head"
    )
    assert spec["encoder"]["cell"]["zoneout"] == 0.1
    assert spec["encoder"]["cell"]["dropout"] == 0.2


def test_wrappers_by_name_alone(train):
    spec = spec_of(train, "wrappers=[bidirectional,{name: stacked, num_layers: 3}]")
    assert spec["encoder"]["wrappers"] == [
        {"name": "bidirectional"},
        {"name": "stacked", "num_layers": 3},
    ]


def test_run_directories_are_unique_and_named_after_the_choice(train, tmp_path):
    for _ in range(3):
        spec_of(train)
    dirs = [run_dir for _, run_dir in train.calls]
    assert len(set(dirs)) == 3
    assert {run_dir.parent for run_dir in dirs} == {tmp_path / "runs" / "toy"}
    assert {path.name for path in (dirs[0] / ".hydra").iterdir()} == {
        "config.yaml",
        "hydra.yaml",
        "overrides.yaml",
    }


def test_a_single_run_is_composed_once_and_writes_what_hydra_would(train, tmp_path, monkeypatch):
    composed = []
    monkeypatch.setattr(
        Hydra,
        "compose_config",
        lambda *words, compose=Hydra.compose_config, **more: (
            composed.append(1) or compose(*words, **more)
        ),
    )
    words = ("cell=gru", "hydra.run.dir=here", "hydra.job.chdir=false")
    spec_of(train, *words)
    assert len(composed) == 1
    (tmp_path / "here").rename(tmp_path / "once")
    monkeypatch.setattr("seqlab.config.app.is_plain", lambda *_: False)
    spec_of(train, *words)
    assert len(composed) == 4
    for file in ("config.yaml", "hydra.yaml", "overrides.yaml"):
        once, by_hydra = (tmp_path / folder / ".hydra" / file for folder in ("once", "here"))
        assert once.read_text("utf-8") == by_hydra.read_text("utf-8")


def test_a_sweep_runs_every_combination_in_its_own_directory(train):
    outcome = train("-m", "cell=gru,lstm", "cell.hidden_size=3,4")
    assert outcome.code == 0
    sizes = [
        (spec["encoder"]["cell"]["name"], spec["encoder"]["cell"]["hidden_size"])
        for spec, _ in train.calls
    ]
    assert sizes == [("gru", 3), ("gru", 4), ("lstm", 3), ("lstm", 4)]
    assert [run_dir.name for _, run_dir in train.calls] == ["0", "1", "2", "3"]
    assert len({run_dir.parent for _, run_dir in train.calls}) == 1


def test_the_users_own_config_folder(train, tmp_path):
    (tmp_path / "mine" / "cell").mkdir(parents=True)
    (tmp_path / "mine" / "experiment").mkdir()
    (tmp_path / "mine" / "cell" / "small.yaml").write_text(
        "# @package encoder.cell\nname: gru\nhidden_size: 3\n"
    )
    (tmp_path / "mine" / "experiment" / "tiny.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /cell: small\n  - override /optimizer: sgd\n"
        "trainer:\n  max_epochs: 2\n"
    )
    spec = spec_of(train, "--config-dir", "mine", "experiment=tiny", "cell.layer_norm=true")
    assert spec["encoder"]["cell"] == {"name": "gru", "hidden_size": 3, "layer_norm": True}
    assert spec["optimizer"]["name"] == "sgd"
    assert spec["trainer"]["max_epochs"] == 2
    assert train.calls[-1][1].parent.name == "tiny"


def test_a_primary_config_of_ones_own(train, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.yaml").write_text(
        "defaults:\n  - open_train\n  - source: null\n  - data: null\n  - head: null\n"
        "  - cell: gru\n  - optimizer: sgd\n  - scheduler: none\n  - _self_\nseed: 9\n"
        "hydra: {run: {dir: out}}\n"
    )
    spec = spec_of(train, "--config-path", "mine", "cell.zoneout=0.1")
    assert spec["encoder"]["cell"] == {"name": "gru", "hidden_size": 128, "zoneout": 0.1}
    assert (spec["seed"], spec["trainer"]["accelerator"]) == (9, "auto")
    assert train.calls[-1][1] == tmp_path / "out"


def test_an_experiment_gives_way_to_the_command_line(train, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "wide.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /wrapper: bidirectional\n"
        "encoder:\n  cell:\n    hidden_size: 99\n"
    )
    spec = spec_of(train, "--config-dir", "mine", "experiment=wide", "cell=gru", "wrapper=none")
    assert spec["encoder"]["cell"] == {"name": "gru", "hidden_size": 99}
    assert spec["encoder"]["wrappers"] == []


def test_interpolations_see_the_job(train):
    spec = spec_of(
        train, "trainer.max_steps=${seed}", "seed=4", "source.path=${hydra:runtime.cwd}/a"
    )
    assert spec["trainer"]["max_steps"] == 4
    assert spec["source"]["path"] == f"{Path.cwd()}/a"


def test_configs_can_be_shown_without_running(train):
    outcome = train("--cfg", "job", "-p", "encoder.cell", "cell.zoneout=0.5")
    assert outcome.out == "# @package encoder.cell\nname: lstm\nhidden_size: 128\nzoneout: 0.5\n"
    assert train.calls == []


def test_help_names_groups_parts_and_keys(command):
    outcome = command("train", "--help")
    assert outcome.code == 0
    cells = next(line for line in outcome.out.splitlines() if line.startswith("cell: "))
    assert {"gru", "lstm", "rnn"} <= set(cells.removeprefix("cell: ").split(", "))
    chosen = next(line for line in outcome.out.splitlines() if line.startswith("optimizer: "))
    assert {"adam", "adamw", "sgd"} <= set(chosen.removeprefix("optimizer: ").split(", "))
    assert "max_epochs: auto" in outcome.out


def test_help_names_what_reads_a_users_own_data(command):
    said = command("train", "--help").out
    for kind in ("format", "feature", "target", "tokenizer"):
        line = next(line for line in said.splitlines() if line.startswith(f"{kind}s"))
        assert line.endswith(": " + ", ".join(registry.available(kind)))
    assert "(source.split.by): " + ", ".join(splits.RULES) in said
    assert ", ".join(registry.available("format")) in command("predict", "--help").out


def test_help_whose_reader_has_gone_is_silent():
    words = [sys.executable, "-m", "seqlab", "train", "--help"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (cli.PIPE_CLOSED, b"")


def test_the_search_path_shows_every_place(command):
    outcome = command("train", "--info", "searchpath")
    assert f"file://{folders.main_folder()}" in outcome.out
    assert "seqlab-registry://" in outcome.out


def test_a_registered_part_without_yaml_is_a_choice(train):
    assert spec_of(train, "-m", "source=toy")["source"]["name"] == "toy"
    assert "head: " in train("--help").out


def test_a_mistake_in_data_does_not_stop_the_other_jobs_and_leaves_no_empty_folder(
    train, monkeypatch
):
    def run(spec, run_dir):
        train.calls.append((spec, run_dir))
        if spec["seed"] == 1:
            raise DataError("x.csv row 3: bad")
        (run_dir / "metrics.csv").write_text("step\n")

    monkeypatch.setattr(sys.modules["seqlab.verbs.train"], "run", run)
    outcome = train("-m", "seed=0,1,2")
    assert (outcome.code, outcome.err) == (2, "error: x.csv row 3: bad\n")
    dirs = [run_dir for _, run_dir in train.calls]
    assert [path.exists() for path in dirs] == [True, False, True]


def test_a_mistake_in_data_leaves_nothing_of_a_single_run(train, monkeypatch, tmp_path):
    def run(spec, run_dir):
        (run_dir / "spec.json").write_text("{}")
        (run_dir / "checkpoints").mkdir()
        raise DataError("x.csv row 3: bad")

    monkeypatch.setattr(sys.modules["seqlab.verbs.train"], "run", run)
    assert train().err == "error: x.csv row 3: bad\n"
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_after_training_began_keeps_the_run(train, monkeypatch, tmp_path):
    def run(spec, run_dir):
        (run_dir / "checkpoints").mkdir()
        (run_dir / "checkpoints" / "resume.ckpt").write_text("weights")
        raise DataError("x.csv row 3: bad")

    monkeypatch.setattr(sys.modules["seqlab.verbs.train"], "run", run)
    assert train("hydra.run.dir=run").code == 2
    assert (tmp_path / "run" / "checkpoints" / "resume.ckpt").read_text() == "weights"
    assert (tmp_path / "run" / ".hydra" / "config.yaml").exists()


def test_a_fault_of_the_program_is_no_mistake_of_the_user(train, monkeypatch):
    def run(spec, run_dir):
        raise ZeroDivisionError

    monkeypatch.setattr(sys.modules["seqlab.verbs.train"], "run", run)
    with pytest.raises(ZeroDivisionError):
        train()


def test_what_a_part_logs_is_said_as_everything_else_and_its_file_has_the_time(
    command, toy_words, monkeypatch, tmp_path
):
    def run(spec, run_dir, begin=None):
        del spec, run_dir, begin
        logging.getLogger("some_source").info("downloading %s", "words 1.0")
        return {"objective": 0.5}

    verb = types.ModuleType("seqlab.verbs.train")
    verb.run = run
    monkeypatch.setitem(sys.modules, "seqlab.verbs.train", verb)
    outcome = command("train", *toy_words, f"hydra.run.dir={tmp_path / 'run'}")
    assert (outcome.code, outcome.out) == (0, "downloading words 1.0\n")
    (line,) = (tmp_path / "run" / "train.log").read_text().splitlines()
    assert line.endswith("[some_source][INFO] - downloading words 1.0")
