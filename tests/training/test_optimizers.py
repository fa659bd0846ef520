from __future__ import annotations

import pytest
import torch
from seqlab.errors import ConfigError
from seqlab.training.optimizers import build_optimizer, build_schedule
from torch import nn

SPECS = [
    {"name": "adamw", "lr": 0.1, "betas": [0.8, 0.9], "eps": 1e-7, "weight_decay": 0.5},
    {"name": "adam", "lr": 0.1, "betas": [0.8, 0.9], "weight_decay": 0.0},
    {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.5},
    {"name": "rmsprop", "lr": 0.1, "alpha": 0.9, "momentum": 0.1, "weight_decay": 0.5},
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec["name"])
@pytest.mark.parametrize("fused", [False, True])
def test_weight_decay_leaves_vectors_alone(spec, fused, asymmetric):
    model = asymmetric(nn.Linear(3, 2))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = build_optimizer(spec, model, fused=fused)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert torch.equal(model.bias, before["bias"])
    assert torch.equal(model.weight, before["weight"]) == (spec["weight_decay"] == 0.0)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec["name"])
def test_fused_equals_plain(spec, asymmetric):
    results = []
    for fused in (False, True):
        model = asymmetric(nn.Linear(3, 2))
        optimizer = build_optimizer(spec, model, fused=fused)
        for step in range(3):
            for i, parameter in enumerate(model.parameters()):
                parameter.grad = torch.linspace(-1, 2 + i + step, parameter.numel()).view_as(
                    parameter
                )
            optimizer.step()
        results.append(model.weight.detach().clone())
    torch.testing.assert_close(results[0], results[1])


def test_options_reach_the_optimizer():
    optimizer = build_optimizer(SPECS[0], nn.Linear(3, 2))
    assert type(optimizer) is torch.optim.AdamW
    assert optimizer.defaults["betas"] == (0.8, 0.9)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.0]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "adamv", "lr": 0.1}, r"optimizer\.name: unknown 'adamv'; did you mean 'adam"),
        ({"name": "os.system"}, r"optimizer\.name: unknown 'os.system'"),
        ({"name": "sgd", "lr": 0.1, "beta": 1}, r"optimizer: .*'beta'"),
        ({"name": "adam", "lr": -1.0}, r"optimizer: Invalid learning rate: -1\.0"),
    ],
)
def test_wrong_optimizers(spec, message):
    with pytest.raises(ConfigError, match=message):
        build_optimizer(spec, nn.Linear(3, 2))


def test_model_without_parameters():
    with pytest.raises(ConfigError, match="no trainable parameter"):
        build_optimizer({"name": "sgd", "lr": 0.1}, nn.Identity())


def rates(spec, steps, *, total, per_epoch=4, lr=0.5):
    optimizer = build_optimizer({"name": "sgd", "lr": lr}, nn.Linear(2, 2))
    schedule = build_schedule(
        spec, optimizer, total_steps=total, steps_per_epoch=per_epoch, mode="min"
    )
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
    length = {"total_steps": None, "steps_per_epoch": 4, "mode": "min"}
    with pytest.raises(ConfigError, match="'cosine' needs the length of the run"):
        build_schedule({"name": "cosine"}, optimizer, **length)
    with pytest.raises(ConfigError, match=r"scheduler\.name: unknown 'cosin'; did you mean"):
        build_schedule({"name": "cosin"}, optimizer, **length)
    assert build_schedule({"name": "none"}, optimizer, **length) is None
