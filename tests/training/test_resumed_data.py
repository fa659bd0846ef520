"""A resumed run looks at what decides its weights and does not stand in its spec."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest
import torch
from seqlab.config.resolve import resolve
from seqlab.errors import RunError
from seqlab.training import run as run_module
from seqlab.training.resuming import check_same
from seqlab.training.run import train
from seqlab.verbs import train as verb

from small_runs import changed, words_spec


class StoppedError(Exception):
    """Ends a run in the middle, as a kill does."""


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A run that has a checkpoint: its spec to go on with, and its folder."""
    spec = words_spec(tmp_path)

    def stop(*_args, **_kwargs):
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(run_module.Run, "finish", stop)
        with pytest.raises(StoppedError):
            train(spec, tmp_path / "run")
    return changed(spec, resume=True), tmp_path / "run"


def test_a_spec_of_an_earlier_version_has_the_defaults_of_new_keys(begun):
    spec, folder = begun
    old = json.loads((folder / "spec.json").read_text())
    assert "transforms" not in old["data"]
    del old["trainer"]["accumulate_grad_batches"], old["callbacks"]["progress"]
    (folder / "spec.json").write_text(json.dumps(old))
    now = resolve(spec)
    assert now["data"]["transforms"] == []
    assert now["trainer"]["detect_anomaly"] is False
    before = content_of(folder)
    with pytest.raises(RunError, match=r"accumulate_grad_batches is 2 now, and the run was .* 1$"):
        verb.run(changed(now, trainer__accumulate_grad_batches=2), folder)
    assert content_of(folder) == before
    verb.run(now, folder)
    assert (folder / "result.json").is_file()


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def swap_labels(path: Path) -> None:
    text = path.read_text().replace(",few", ",?").replace(",many", ",few").replace(",?", ",many")
    path.write_text(text)


def other_words(path: Path) -> None:
    path.write_text(path.read_text().replace("b", "z"))


def fewer_rows(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize(
    ("split", "change", "message"),
    [
        ("train", swap_labels, "train has other content"),
        ("train", fewer_rows, "train has 45 rows and had 46"),
        ("train", other_words, "is another"),
        ("test", swap_labels, "test has other content"),
        ("validation", fewer_rows, "validation has 13 rows and had 14"),
    ],
)
def test_changed_data_is_refused_with_the_difference(begun, split, change, message):
    spec, folder = begun
    change(Path(spec["source"][split]))
    before = content_of(folder)
    with pytest.raises(RunError, match="the data is not what the run was begun with: .*" + message):
        train(spec, folder)
    assert content_of(folder) == before


def rewrite(folder: Path, **identity: object) -> None:
    path = folder / "checkpoints" / "resume.ckpt"
    state = torch.load(path, weights_only=True)
    state["identity"].update(identity)
    torch.save(state, path)


def test_another_version_is_said(begun, capsys):
    spec, folder = begun
    state = torch.load(folder / "checkpoints" / "resume.ckpt", weights_only=True)
    rewrite(folder, versions={**state["identity"]["versions"], "torch": "1.0"})
    train(spec, folder)
    assert (
        f"resume: torch is {metadata.version('torch')} now, and was 1.0" in capsys.readouterr().out
    )


def test_another_number_of_processes_is_refused(begun):
    spec, folder = begun
    rewrite(folder, processes=2)
    with pytest.raises(RunError, match="1 processes train now, and the run was begun with 2"):
        train(spec, folder)


def test_a_length_behind_the_checkpoint_is_refused(begun):
    spec, folder = begun
    before = content_of(folder)
    with pytest.raises(RunError, match=r"trainer\.max_epochs is 1, and the run has done"):
        train(changed(spec, trainer__max_epochs=1), folder)
    assert content_of(folder) == before


SPEC = {
    "scheduler": {"name": "none"},
    "trainer": {"max_epochs": 3, "val_check_interval": None, "deterministic": True},
    "callbacks": {"early_stopping": {"patience": 2}, "checkpoint": {"monitor": None}},
    "logger": {"tensorboard": False},
}


@pytest.mark.parametrize(
    ("key", "value", "schedule"),
    [
        ("trainer__val_check_interval", 0.5, "none"),
        ("trainer__deterministic", False, "none"),
        ("callbacks__checkpoint__monitor", "loss", "none"),
        ("trainer__max_epochs", 4, "cosine"),
        ("trainer__max_epochs", 4, "onecycle"),
        ("trainer__max_epochs", 4, "warmup"),
    ],
)
def test_options_that_decide_the_result_are_refused(key, value, schedule):
    spec = changed(SPEC, scheduler={"name": schedule})
    with pytest.raises(RunError, match=f"resume: {key.replace('__', '[.]')} is {value!r} now"):
        check_same(spec, changed(spec, **{key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trainer__max_epochs", 4),
        ("callbacks__early_stopping__patience", 9),
        ("callbacks__early_stopping", None),
    ],
)
def test_options_that_hold_from_here_on_are_said(key, value):
    (line,) = check_same(SPEC, changed(SPEC, **{key: value}))
    assert line.startswith(f"resume: {key.replace('__', '.')} is {value!r} from here on")


def test_options_that_decide_nothing_change_silently():
    assert check_same(SPEC, changed(SPEC, logger__tensorboard=True)) == []


def test_the_patience_of_a_resumed_run_is_its_own(tmp_path, monkeypatch):
    spec = changed(
        words_spec(tmp_path),
        optimizer={"name": "sgd", "lr": 1e-30},
        callbacks__early_stopping={"patience": 7},
        trainer__max_epochs=8,
    )
    real = run_module.make_callbacks

    def made(*args, **kwargs):
        recorder, keeper, callbacks = real(*args, **kwargs)

        def stop(trainer, _module):
            if trainer.current_epoch == 1:
                raise StoppedError

        recorder.on_train_epoch_end = stop
        return recorder, keeper, callbacks

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "make_callbacks", made)
        with pytest.raises(StoppedError):
            train(spec, tmp_path / "run")
    again = changed(spec, resume=True, callbacks__early_stopping={"patience": 3})
    values = train(again, tmp_path / "run").values
    assert values["steps"] == 40
    kept = json.loads((tmp_path / "run" / "spec.json").read_text())
    assert kept["callbacks"]["early_stopping"] == {"patience": 3}
