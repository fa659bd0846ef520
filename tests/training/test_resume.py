"""A run killed at any moment and resumed ends bit-identical, in weights, logs and choices."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from seqlab.errors import RunError
from seqlab.training import outcome
from seqlab.training import run as run_module
from seqlab.training.run import train

from killed_runs import KilledError, assert_same, killer, state_of
from small_runs import changed, pairs_spec, words_spec


@pytest.fixture
def killed_at(monkeypatch):
    return killer(monkeypatch)


VARIANTS = {
    "plain": {},
    "accumulated": {"trainer__accumulate_grad_batches": 3},
    "validated inside the epoch": {"trainer__val_check_interval": 4},
    "plateau": {"scheduler": {"name": "plateau", "patience": 0, "factor": 0.5}},
    "cosine and a limit of steps": {
        "scheduler": {"name": "cosine", "warmup_steps": 3},
        "trainer__max_steps": 17,
    },
    "stopped early": {
        "callbacks__early_stopping": {"patience": 1, "monitor": "macro_f1"},
        "trainer__max_epochs": 6,
    },
}
# epochs have 10 batches: at the start, in the middle, at the end of one, and inside its end
MOMENTS = [
    ("on_train_batch_end", 5, False),
    ("on_train_batch_end", 10, False),
    ("on_train_batch_end", 16, True),
    ("on_validation_end", 1, True),
    ("on_validation_end", 2, False),
    ("on_train_epoch_end", 2, False),
]


#: Of the variants but the first the ordinary tests take two moments, the long ones the others.
FEW = MOMENTS[2:4]


@pytest.mark.parametrize(
    ("variant", "moments"),
    [
        pytest.param("plain", MOMENTS, id="plain"),
        *(pytest.param(name, FEW, id=name) for name in VARIANTS if name != "plain"),
        *(
            pytest.param(
                name,
                [moment for moment in MOMENTS if moment not in FEW],
                id=f"{name}, other moments",
                marks=pytest.mark.slow,
            )
            for name in VARIANTS
            if name != "plain"
        ),
    ],
)
def test_resumed_run_ends_bit_identical(tmp_path, killed_at, variant, moments):
    spec = changed(words_spec(tmp_path), **VARIANTS[variant])
    train(spec, tmp_path / "whole")
    reference = state_of(tmp_path / "whole")
    for hook, count, before in moments:
        folder = tmp_path / f"{hook}-{count}-{before}"
        release = killed_at(hook, count, before=before)
        with pytest.raises(KilledError):
            train(spec, folder)
        release()
        assert not (folder / "result.json").exists()
        train(changed(spec, resume=True), folder)
        assert_same(folder, reference)


def test_a_run_in_double_precision_ends_bit_identical(tmp_path, killed_at):
    """Its weights do not go through single precision when they are read."""
    spec = changed(words_spec(tmp_path), trainer__precision="64-true", trainer__max_epochs=2)
    train(spec, tmp_path / "whole")
    release = killed_at("on_train_batch_end", 5)
    with pytest.raises(KilledError):
        train(spec, tmp_path / "killed")
    release()
    train(changed(spec, resume=True), tmp_path / "killed")
    assert_same(tmp_path / "killed", state_of(tmp_path / "whole"))


@pytest.mark.parametrize(
    ("continuous", "cell"),
    [
        (False, {}),
        (True, {}),
        (True, {"name": "min_gru", "hidden_size": 6, "dropout": 0.3, "zoneout": 0.2}),
    ],
)
def test_a_run_with_carried_state_ends_bit_identical(tmp_path, killed_at, continuous, cell):
    text = {"kind": "inputs", "column": "word"}
    spec = changed(
        words_spec(tmp_path),
        data__target=text,
        data__chunks={"length": 3, "continuous": continuous},
        head={"name": "language_model"},
        encoder__wrappers=[],
    )
    if cell:
        spec = changed(spec, encoder__cell=cell)
    train(spec, tmp_path / "whole")
    reference = state_of(tmp_path / "whole")
    for hook, count in (("on_train_batch_end", 2), ("on_train_batch_end", 17)):
        folder = tmp_path / f"{hook}-{count}"
        release = killed_at(hook, count)
        with pytest.raises(KilledError):
            train(changed(spec, callbacks__checkpoint__every_n_steps=1), folder)
        release()
        state = torch.load(folder / "checkpoints" / "resume.ckpt", weights_only=True)
        assert state["carried"][0].any()
        train(changed(spec, resume=True), folder)
        assert_same(folder, reference)


def test_run_killed_twice_and_resumed_by_path(tmp_path, killed_at):
    spec = pairs_spec(tmp_path)
    train(spec, tmp_path / "whole")
    folder = tmp_path / "killed"
    resumed = changed(spec, resume=str(folder))
    for turn, count in enumerate([13, 9]):
        release = killed_at("on_train_batch_end", count)
        with pytest.raises(KilledError):
            train(resumed if turn else spec, tmp_path / "elsewhere" if turn else folder)
        release()
    train(resumed, tmp_path / "elsewhere")
    assert_same(folder, state_of(tmp_path / "whole"))
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("at", ["save_bundle", "Report", "write_json"])
def test_run_killed_after_training_only_tests_and_writes_all_that_is_missing(
    tmp_path, monkeypatch, capsys, at
):
    spec = changed(words_spec(tmp_path), report=True)
    train(spec, tmp_path / "whole")

    def dying(*_args, **_kwargs):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(outcome, at, dying)
        with pytest.raises(KilledError):
            train(spec, tmp_path / "killed")
    capsys.readouterr()
    train(changed(spec, resume=True), tmp_path / "killed")
    assert "train_loss" not in capsys.readouterr().out
    assert_same(tmp_path / "killed", state_of(tmp_path / "whole"))
    left = [
        sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("killed", "whole")
    ]
    assert left[0] == left[1]
    assert "report.html" in left[0]


def test_a_run_that_is_interrupted_while_it_writes_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(outcome, "Report", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(changed(words_spec(tmp_path), report=True), tmp_path / "run")
    assert f"stopped; go on with it by resume={tmp_path / 'run'}" in capsys.readouterr().out


def test_nothing_to_resume_begins_anew(tmp_path, capsys):
    spec = changed(words_spec(tmp_path), trainer__max_epochs=1)
    train(changed(spec, resume=True), tmp_path / "run")
    assert "nothing to resume yet" in capsys.readouterr().out
    assert (tmp_path / "run" / "result.json").exists()


def test_resuming_with_another_spec_is_refused(tmp_path, killed_at):
    spec = words_spec(tmp_path)
    release = killed_at("on_train_batch_end", 12)
    with pytest.raises(KilledError):
        train(spec, tmp_path / "run")
    release()
    other = changed(spec, resume=True, encoder__cell__hidden_size=7)
    with pytest.raises(RunError, match=r"resume: encoder\.cell\.hidden_size is 7 now, .* with 6"):
        train(other, tmp_path / "run")
    other = changed(spec, resume=True, trainer__precision="64-true")
    with pytest.raises(RunError, match=r"resume: trainer\.precision is '64-true' now"):
        train(other, tmp_path / "run")
    # more epochs and other log intervals are no other run
    longer = changed(spec, resume=True, trainer__max_epochs=4, trainer__log_every_n_steps=2)
    assert train(longer, tmp_path / "run").values["steps"] == 40


@pytest.mark.slow  # test_kill_matrix.py kills real processes in the ordinary tests
def test_sigkill_of_a_real_process(tmp_path):
    spec = changed(words_spec(tmp_path), trainer__max_epochs=20, trainer__log_every_n_steps=1)
    train(spec, tmp_path / "whole")
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    folder = tmp_path / "killed"
    script = (
        "import json, sys; from seqlab.training.run import train; "
        "train(json.load(open(sys.argv[1])), sys.argv[2])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "spec.json"), str(folder)],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    checkpoint = folder / "checkpoints" / "resume.ckpt"
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.15)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint.exists()
    torch.load(checkpoint, weights_only=True)
    train(changed(spec, resume=True), folder)
    assert_same(folder, state_of(tmp_path / "whole"))


@pytest.mark.parametrize(
    "stop", [(signal.SIGINT, KeyboardInterrupt, None), (signal.SIGTERM, SystemExit, 143)]
)
def test_stopped_by_a_signal_says_how_to_go_on(tmp_path, monkeypatch, capsys, stop):
    number, error, code = stop
    spec = changed(words_spec(tmp_path), trainer__max_epochs=500)
    made = run_module.make_callbacks

    def armed(*args, **kwargs):
        recorder, keeper, callbacks = made(*args, **kwargs)
        real = recorder.on_train_epoch_end

        def signalled(trainer, module):
            real(trainer, module)
            if trainer.current_epoch == 1:
                signal.raise_signal(number)

        recorder.on_train_epoch_end = signalled
        return recorder, keeper, callbacks

    monkeypatch.setattr(run_module, "make_callbacks", armed)
    # a shell that starts this in the background has it ignore the signal
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(error) as caught:
        train(spec, tmp_path / "run")
    signal.signal(signal.SIGINT, before)
    assert getattr(caught.value, "code", None) == code
    assert f"stopped; go on with it by resume={tmp_path / 'run'}" in capsys.readouterr().out
    monkeypatch.setattr(run_module, "make_callbacks", made)
    again = changed(spec, resume=True, trainer__max_epochs=3)
    assert train(again, tmp_path / "run").values["steps"] == 30
