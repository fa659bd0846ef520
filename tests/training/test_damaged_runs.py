"""A damaged folder of an unfinished run: one line that names the file, or the run goes on."""

from __future__ import annotations

import argparse
import shutil

import pytest
from seqlab.config.job_folder import go_on
from seqlab.errors import RunError
from seqlab.testing.formats import damaged
from seqlab.training.module import TrainingModule
from seqlab.training.run import train

from damage import damaged_json, tried
from small_runs import changed, words_spec

FILES = ("spec.json", "metrics.csv", "checkpoints/resume.ckpt")
COMMAND = {
    "overrides.yaml": b"- source=files\n- source.train=a.csv\n- data=text_label\n",
    "hydra.yaml": b"hydra:\n  job:\n    config_name: config\n"
    b"  runtime:\n    config_sources:\n    - path: /here\n      provider: main\n",
}


class KilledError(Exception):
    """Stands for SIGKILL."""


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    """A run that was killed in its sixth step: its spec, and its folder."""
    folder = tmp_path_factory.mktemp("run")
    spec = changed(words_spec(folder), trainer__max_steps=7, trainer__log_every_n_steps=2)
    step, steps = TrainingModule.training_step, iter(range(5))

    def dying(*args):
        if next(steps, None) is None:
            raise KilledError
        return step(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", dying)
        with pytest.raises(KilledError):
            train(spec, folder / "run")
    return changed(spec, resume=True), folder / "run"


def attack(unfinished, tmp_path, name, tries, seed):
    """What resuming with damaged copies of a file ends in."""
    spec, sound = unfinished
    folder = tmp_path / "run"

    def read(content):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(sound, folder)
        (folder / name).write_bytes(content)
        train(spec, folder)

    spoil = damaged_json if name.endswith(".json") else damaged
    return tried(read, spoil((sound / name).read_bytes(), tries, seed))


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_of_a_run(unfinished, tmp_path, name):
    assert attack(unfinished, tmp_path, name, 8, seed=1)["refused"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_many_damaged_files_of_a_run(unfinished, tmp_path, name):
    assert attack(unfinished, tmp_path, name, 300, seed=2)["refused"] > 20


def test_a_flipped_weight_in_a_checkpoint_is_seen(unfinished, tmp_path):
    spec, sound = unfinished
    shutil.copytree(sound, tmp_path / "run")
    path = tmp_path / "run/checkpoints/resume.ckpt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"resume\.ckpt: cannot be read: .* has changed since it"):
        train(spec, tmp_path / "run")


@pytest.mark.parametrize("name", COMMAND)
def test_damaged_command_of_a_run(tmp_path, name):
    (tmp_path / ".hydra").mkdir()
    for each, content in COMMAND.items():
        (tmp_path / ".hydra" / each).write_bytes(content)

    def read(content):
        (tmp_path / ".hydra" / name).write_bytes(content)
        given = {"overrides": [f"resume={tmp_path}"], "multirun": False, "config_dir": None}
        go_on(argparse.Namespace(**given, config_path=None, config_name=None))

    assert tried(read, damaged(COMMAND[name], 300, seed=3), RunError)["refused"] > 50
