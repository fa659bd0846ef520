"""The callback that looks inside the layers: its file, its pictures, and no trace in training."""

import json

import pytest
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from seqlab.testing.callbacks import BrokenOff, _breaking
from seqlab.training.checkpoint_io import AtomicCheckpointIO
from seqlab.training.loggers import Logger, log_picture
from seqlab.training.microscope import FILE, first_rows, read_looks
from seqlab.training.run import train
from seqlab.types import Batch

from small_runs import changed, pairs_spec, sentences_spec, words_spec


def looked(spec, **changes):
    return changed(spec, callbacks__microscope={"every_n_steps": 5, "rows": 4}, **changes)


def weights(folder):
    path = folder / "checkpoints" / "resume.ckpt"
    return AtomicCheckpointIO().load_checkpoint(path)["state_dict"]


@pytest.mark.parametrize(
    "make",
    [words_spec, *(pytest.param(m, marks=pytest.mark.slow) for m in (sentences_spec, pairs_spec))],
)
def test_looks_are_written_and_training_is_the_same(make, tmp_path):
    spec = changed(make(tmp_path), trainer__max_epochs=2)
    train(spec, tmp_path / "plain")
    train(looked(spec, report=True), tmp_path / "looked")
    first, second = weights(tmp_path / "plain"), weights(tmp_path / "looked")
    assert all(torch.equal(first[name], second[name]) for name in first)
    looks = read_looks(tmp_path / "looked" / FILE)
    assert [look["step"] for look in looks] == [1, 5, 10, 15, 20]
    for layer in looks[-1]["layers"]:
        assert layer["gradient"][0][0] == 1
        assert layer["memory"]["reach"] > 0
        assert set(layer["gates"]) == {"update", "reset", "candidate"}
    page = (tmp_path / "looked" / "report.html").read_text("utf-8")
    assert "gates while it learns" in page


def test_a_resumed_run_keeps_each_look_once(tmp_path):
    spec = looked(words_spec(tmp_path), trainer__max_epochs=2)
    path = tmp_path / "run" / FILE
    with _breaking():
        with pytest.raises(BrokenOff):
            train(changed(spec, **{"callbacks__break-off": {}}), tmp_path / "run")
        assert [look["step"] for look in read_looks(path)] == [1, 5]
        later = json.dumps({"step": 10, "layers": []}) + '\n{"step": 2'
        path.write_text(path.read_text("utf-8") + later, "utf-8")
        train(changed(spec, resume=True), tmp_path / "run")
    looks = read_looks(path)
    assert [look["step"] for look in looks] == [1, 5, 10, 15, 20]
    assert all(look["layers"] for look in looks)


class Shown(Logger):
    def __init__(self, folder):
        super().__init__(folder)
        self.seen = []

    def log_metrics(self, metrics, step=None):
        self.seen.append((step, dict(metrics)))

    def log_picture(self, name, png, step):
        self.seen.append((step, name, png[:4]))


def test_loggers_are_given_pictures_where_they_take_them(tmp_path):
    from seqlab.pages import Lines
    from seqlab.pages.drawing import as_png

    png = as_png(Lines({"a": [(1, 1.0), (2, 0.5)]}), dpi=40)
    own = Shown(tmp_path)
    log_picture(own, "gradient", png, 7)
    assert own.seen == [(7, "gradient", b"\x89PNG")]
    board = TensorBoardLogger(tmp_path, name=None, version="board")
    log_picture(board, "gradient", png, 7)
    board.finalize("success")
    events = b"".join(file.read_bytes() for file in (tmp_path / "board").glob("events*"))
    assert b"gradient" in events
    assert b"\x89PNG" in events


def test_numbers_and_pictures_reach_the_loggers_of_a_run(tmp_path):
    spec = looked(words_spec(tmp_path), trainer__max_epochs=1, logger__tensorboard={})
    train(spec, tmp_path / "run")
    files = list((tmp_path / "run" / "tensorboard").glob("events*"))
    events = b"".join(file.read_bytes() for file in files)
    assert b"microscope/layer_forward/half_life" in events
    assert b"microscope/layer_forward/update_open" in events
    assert b"microscope/gradient" in events
    assert b"\x89PNG" in events


def test_first_rows_are_a_whole_batch():
    batch = Batch(
        {"x": torch.zeros(5, 3, 2)}, torch.tensor([3, 2, 1, 3, 3]), torch.zeros(5, 2),
        torch.full((5,), 2), [[[1]]] * 5,
    )  # fmt: skip
    small = first_rows(batch, 2)
    assert small.size == 2
    assert small.target.shape == (2, 2)
    assert len(small.references) == 2
