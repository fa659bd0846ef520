"""Hydra's launchers: jobs elsewhere end with the same table, and their mistakes are told."""

from __future__ import annotations

import json

import pytest
import yaml
from seqlab.cli import main

from small_runs import write_words


def words(folder):
    source = write_words(folder / "words")
    files = [f"source.{split}={source[split]}" for split in ("train", "validation", "test")]
    return [
        "source=files", *files, "data=text_label", "data.features.text.column=word",
        "data.target.column=kind", "data.batch_size=8", "head=classification",
        "cell.hidden_size=4", "embedding.size=4", "trainer.max_epochs=2", "wrapper=none",
        "trainer.num_threads=1", "report=false",
    ]  # fmt: skip


def test_a_launcher_for_slurm_composes(tmp_path, capsys):
    given = ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu", "cell=lstm"]
    assert main(["train", *words(tmp_path), *given, "--cfg", "hydra"]) == 0
    launcher = yaml.safe_load(capsys.readouterr().out)["hydra"]["launcher"]
    assert launcher["_target_"].endswith(".SlurmLauncher")
    assert launcher["partition"] == "gpu"


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
        ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10"],
    ],
    ids=["joblib", "submitit_local"],
)
def test_jobs_elsewhere_end_with_the_table(tmp_path, capfd, launcher):
    place = tmp_path / "swept"
    given = [*words(tmp_path), *launcher, f"hydra.sweep.dir={place}"]
    assert main(["train", "-m", *given, "cell=lstm,gru", "seed=0,1"]) == 0
    found = json.loads((place / "compare.json").read_text("utf-8"))
    assert [one["name"] for one in found["contestants"]] == ["lstm", "gru"]
    assert found["seeds"] == [0, 1]
    assert "lstm against gru" in capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_the_mistake_of_one_job_elsewhere(tmp_path, capfd, launcher):
    place = tmp_path / "swept"
    given = [*words(tmp_path), f"hydra/launcher={launcher}", f"hydra.sweep.dir={place}"]
    assert main(["train", "-m", *given, "trainer.limit_train_batches=1.0,0.01"]) == 2
    errors = capfd.readouterr().err
    assert "0.01 of 6 batches is less than one" in errors.splitlines()[-1]
    assert (place / "0" / "result.json").exists()
    assert not (place / "1" / "result.json").exists()
