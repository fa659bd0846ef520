from __future__ import annotations

import os
import warnings

import pytest
import torch
from seqlab import devices
from seqlab.errors import ConfigError, RunError
from seqlab.training.folder import is_primary, open_folder
from seqlab.training.lightning_advice import quiet
from seqlab.training.run import train

import forked
from small_runs import changed, words_spec

SPEC = {"seed": 1, "trainer": {}, "resume": None}


def test_two_runs_in_one_folder(tmp_path):
    spec = changed(words_spec(tmp_path), trainer__max_epochs=1)
    train(spec, tmp_path / "run")
    for resume in (None, True):
        with pytest.raises(RunError, match=r"already holds a finished run \(result\.json\)"):
            train(changed(spec, resume=resume), tmp_path / "run")


def test_an_unfinished_run_is_not_overwritten(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "resume.ckpt").write_bytes(b"")
    with (
        pytest.raises(RunError, match="holds an unfinished run; go on with it by resume=true"),
        open_folder(tmp_path, SPEC),
    ):
        pass


def _hold(path, ready, release):
    with open_folder(path, SPEC):
        ready.set()
        release.wait(60)


def test_folder_in_use_until_its_process_is_killed(tmp_path):
    context = forked.context()
    ready, release = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready, release))
    holder.start()
    try:
        assert ready.wait(60)
        with (
            pytest.raises(RunError, match="is in use by another process"),
            open_folder(tmp_path, SPEC),
        ):
            pass
    finally:
        holder.kill()
        holder.join(60)
    with open_folder(tmp_path, SPEC):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="is not writable"), open_folder(tmp_path / "run", SPEC):
        pass


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(RunError, match=r"output folder .*file/run is not writable \(Not a dir"),
        open_folder(tmp_path / "file" / "run", SPEC),
    ):
        pass


def test_run_to_resume_must_be_there(tmp_path):
    spec = {**SPEC, "resume": str(tmp_path / "none")}
    with (
        pytest.raises(RunError, match="resume: there is no run folder"),
        open_folder(tmp_path, spec),
    ):
        pass


@pytest.mark.parametrize(
    ("variables", "primary"),
    [({}, True), ({"LOCAL_RANK": "0"}, True), ({"LOCAL_RANK": "1"}, False), ({"RANK": "2"}, False)],
)
def test_only_the_first_process_writes(tmp_path, monkeypatch, variables, primary):
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_primary() is primary
    with open_folder(tmp_path / "run", SPEC):
        pass
    assert (tmp_path / "run").exists() is primary


@pytest.mark.parametrize("accelerator", ["gpu", "cuda"])
def test_gpu_that_is_not_there(tmp_path, monkeypatch, accelerator):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    spec = changed(words_spec(tmp_path), trainer__accelerator=accelerator)
    message = rf"trainer\.accelerator={accelerator}: there is no GPU .*; choose trainer=cpu"
    with pytest.raises(RunError, match=message):
        train(spec, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(RunError, match="there is no GPU"):
        devices.pick_device("gpu")
    assert devices.pick_device("auto") == torch.device("cpu")


def test_more_gpus_than_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    devices.check_device({"accelerator": "gpu", "devices": 2})
    for wanted in (3, [0, 2]):
        with pytest.raises(RunError, match="there are 2 GPUs"):
            devices.check_device({"accelerator": "gpu", "devices": wanted})


def test_devices_and_precisions_that_do_not_exist():
    with pytest.raises(ConfigError, match="device: unknown 'gpuu'"):
        devices.pick_device("gpuu")
    assert devices.pick_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="16-mixed needs a GPU"):
        devices.check_device({"accelerator": "cpu", "precision": "16-mixed"})
    with pytest.raises(RunError, match="torch finds no Apple GPU"):
        devices.check_device({"accelerator": "mps"})


def test_only_known_advice_is_left_out():
    with quiet():
        warnings.warn("GPU available but not used", UserWarning, stacklevel=1)
        with pytest.warns(UserWarning, match="something new"):
            warnings.warn("something new", UserWarning, stacklevel=1)
