from __future__ import annotations

import itertools
import os
import pickle
import time

import pytest
import torch
from seqlab.errors import RunError
from seqlab.training.checkpoint_io import AtomicCheckpointIO

import forked


class Trap:
    """Unpickling it would leave a mark."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_round_trip_leaves_no_other_file(tmp_path):
    checkpoint = {"state_dict": {"w": torch.arange(6.0).reshape(2, 3)}, "epoch": 4, "name": "x"}
    path = tmp_path / "folder" / "a.ckpt"
    AtomicCheckpointIO().save_checkpoint(checkpoint, path)
    assert [p.name for p in path.parent.iterdir()] == ["a.ckpt"]
    loaded = AtomicCheckpointIO().load_checkpoint(path)
    assert torch.equal(loaded["state_dict"]["w"], checkpoint["state_dict"]["w"])
    assert (loaded["epoch"], loaded["name"]) == (4, "x")
    AtomicCheckpointIO().remove_checkpoint(path)
    AtomicCheckpointIO().remove_checkpoint(path)
    assert not path.exists()


def test_failed_save_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "a.ckpt"
    io = AtomicCheckpointIO()
    io.save_checkpoint({"epoch": 1}, path)

    def broken(_checkpoint, stream):
        stream.write(b"half a check")
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(OSError, match="no space left"):
        io.save_checkpoint({"epoch": 2}, path)
    assert io.load_checkpoint(path) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.ckpt"]


@pytest.mark.parametrize("weights_only", [None, False, True])
def test_code_in_a_checkpoint_never_runs(tmp_path, weights_only):
    path = tmp_path / "evil.ckpt"
    torch.save({"state_dict": {}, "trap": Trap(tmp_path / "ran")}, path)
    with pytest.raises(RunError, match=r"evil\.ckpt: cannot be read"):
        AtomicCheckpointIO().load_checkpoint(path, weights_only=weights_only)
    path.write_bytes(pickle.dumps(Trap(tmp_path / "ran")))
    with pytest.raises(RunError, match=r"evil\.ckpt: cannot be read"):
        AtomicCheckpointIO().load_checkpoint(path, weights_only=weights_only)
    assert not (tmp_path / "ran").exists()


def test_damaged_and_missing_files_are_one_line(tmp_path):
    path = tmp_path / "a.ckpt"
    with pytest.raises(RunError, match="does not exist"):
        AtomicCheckpointIO().load_checkpoint(path)
    AtomicCheckpointIO().save_checkpoint({"w": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(RunError) as caught:
        AtomicCheckpointIO().load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "file" / "a.ckpt")


def test_storage_options_are_refused(tmp_path):
    with pytest.raises(TypeError, match="storage_options"):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "a.ckpt", storage_options={"a": 1})


def _save_for_ever(path):
    for epoch in itertools.count():
        w = torch.full((300_000,), float(epoch))
        AtomicCheckpointIO().save_checkpoint({"epoch": epoch, "w": w}, path)


def test_at_every_instant_one_checkpoint_loads(tmp_path):
    path = tmp_path / "a.ckpt"
    process = forked.context().Process(target=_save_for_ever, args=(path,))
    process.start()
    try:
        deadline = time.monotonic() + 120
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        for _ in range(30):
            loaded = AtomicCheckpointIO().load_checkpoint(path)
            assert torch.equal(loaded["w"], torch.full((300_000,), float(loaded["epoch"])))
    finally:
        process.kill()
        process.join()
    loaded = AtomicCheckpointIO().load_checkpoint(path)
    assert loaded["w"].unique().tolist() == [float(loaded["epoch"])]
