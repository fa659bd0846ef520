from __future__ import annotations

import pytest
import torch
from seqlab import registry
from seqlab.data.module import DataModule
from seqlab.errors import ConfigError, OptionError, UnknownNameError
from seqlab.training.optimizers import build_optimizer
from seqlab.training.run import train
from seqlab.training.schedules import RunLength, Schedule, build_schedule
from torch import nn

from small_runs import changed, words_spec


def rates(spec, steps, *, total, per_epoch=4, lr=0.5):
    optimizer = build_optimizer({"name": "sgd", "lr": lr}, nn.Linear(2, 2))
    run = RunLength(lr=lr, total_steps=total, steps_per_epoch=per_epoch)
    schedule = build_schedule(spec, optimizer, run)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule["scheduler"].step()
    return found


def test_cosine_equals_torch():
    optimizer = build_optimizer({"name": "sgd", "lr": 0.5}, nn.Linear(2, 2))
    torchs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 11, eta_min=0.05)
    expected = []
    for _ in range(11):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        torchs.step()
    assert rates({"name": "cosine", "min_lr": 0.05}, 11, total=11) == pytest.approx(expected)


@pytest.mark.parametrize("options", [{}, {"pct_start": 0.4, "div_factor": 10, "max_lr": 2.0}])
def test_onecycle_equals_torch(options):
    optimizer = build_optimizer({"name": "sgd", "lr": 0.5}, nn.Linear(2, 2))
    torchs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, total_steps=20, cycle_momentum=False, **{"max_lr": 0.5, **options}
    )
    expected = []
    for step in range(20):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < 19:
            torchs.step()
    assert rates({"name": "onecycle", **options}, 20, total=20) == pytest.approx(expected)


def test_warmup_rises_and_falls():
    spec = {"name": "warmup", "warmup_steps": 4, "min_lr": 0.1}
    found = rates(spec, 9, total=8)
    assert found[:5] == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5])
    assert found[5:] == pytest.approx([0.4, 0.3, 0.2, 0.1])


def test_step_counts_epochs():
    found = rates({"name": "step", "step_size": 2, "gamma": 0.1}, 17, total=None, per_epoch=4)
    assert found == pytest.approx([0.5] * 8 + [0.05] * 8 + [0.005])


def test_schedules_say_what_they_need():
    optimizer = build_optimizer({"name": "sgd", "lr": 0.1}, nn.Linear(2, 2))
    open_end = RunLength(lr=0.1, steps_per_epoch=4)
    with pytest.raises(ConfigError, match="'cosine' needs the length of the run"):
        build_schedule({"name": "cosine"}, optimizer, open_end)
    with pytest.raises(UnknownNameError, match=r"unknown schedule 'cosin': did you mean"):
        build_schedule({"name": "cosin"}, optimizer, open_end)
    assert build_schedule({"name": "none"}, optimizer, open_end) is None


def test_a_run_by_the_clock_is_refused_before_its_data_are_read(tmp_path, monkeypatch):
    spec = changed(
        words_spec(tmp_path),
        scheduler={"name": "cosine"},
        trainer__max_epochs=None,
        trainer__max_seconds=5.0,
    )
    monkeypatch.setattr(DataModule, "prepare", lambda _: pytest.fail("the data were read"))
    with pytest.raises(ConfigError, match="'cosine' needs the length of the run"):
        train(spec, tmp_path / "run")
    assert not (tmp_path / "run").exists()


class InverseRoot(Schedule):
    """The rate falls with the root of the step."""

    def factor(self, step):
        return (1 + step) ** -0.5


@pytest.fixture
def inverse_root():
    registry.register("schedule", "inverse_root")(InverseRoot)
    yield {"name": "inverse_root"}
    registry.unregister("schedule", "inverse_root")


def test_a_registered_schedule_is_used(inverse_root):
    found = rates(inverse_root, 4, total=None)
    assert found == pytest.approx([0.5 / (1 + step) ** 0.5 for step in range(4)])


def test_what_is_no_schedule_is_refused():
    registry.register("schedule", "odd")(lambda _: 3)
    optimizer = build_optimizer({"name": "sgd"}, nn.Linear(2, 2))
    try:
        with pytest.raises(OptionError, match=r"'odd' is no subclass of seqlab\.Schedule"):
            build_schedule({"name": "odd"}, optimizer, RunLength(lr=0.1))
    finally:
        registry.unregister("schedule", "odd")
