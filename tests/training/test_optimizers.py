from __future__ import annotations

import pytest
import torch
from seqlab import registry
from seqlab.errors import ConfigError, SeqlabError
from seqlab.training.optimizers import build_optimizer, values_per_weight
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
        ({"name": "adamv", "lr": 0.1}, r"unknown optimizer 'adamv': did you mean 'adam"),
        ({"name": "os.system"}, r"unknown optimizer 'os.system'"),
        ({"name": "sgd", "lr": 0.1, "beta": 1}, r"optimizer: .*'beta'"),
        ({"name": "adam", "lr": -1.0}, r"optimizer\.lr: expected a number above 0, got -1\.0"),
    ],
)
def test_wrong_optimizers(spec, message):
    with pytest.raises(SeqlabError, match=message):
        build_optimizer(spec, nn.Linear(3, 2))


def test_model_without_parameters():
    with pytest.raises(ConfigError, match="no trainable parameter"):
        build_optimizer({"name": "sgd", "lr": 0.1}, nn.Identity())


@pytest.fixture
def registered():
    names = []

    def add(part):
        registry.register("optimizer", "mine")(part)
        names.append("mine")
        return {"name": "mine"}

    yield add
    for name in names:
        registry.unregister("optimizer", name)


def test_a_class_of_torch_is_an_optimizer_as_it_is(registered):
    spec = registered(torch.optim.NAdam)
    made = build_optimizer({**spec, "betas": [0.8, 0.9], "weight_decay": 0.5}, nn.Linear(3, 2))
    assert type(made) is torch.optim.NAdam
    assert [group["weight_decay"] for group in made.param_groups] == [0.5, 0.0]
    with pytest.raises(ConfigError, match=r"^optimizer: Invalid learning rate: -1"):
        build_optimizer({**spec, "lr": -1}, nn.Linear(3, 2))


def test_one_without_decay_gets_no_decay(registered):
    def plain(params, *, lr: float = 0.1):
        groups = list(params)
        assert all(set(group) == {"params"} for group in groups)
        return torch.optim.SGD(groups, lr=lr)

    assert build_optimizer(registered(plain), nn.Linear(3, 2)).param_groups[0]["lr"] == 0.1


def test_what_makes_no_optimizer_is_refused(registered):
    def nothing(params):
        """Nothing."""

    with pytest.raises(ConfigError, match="'mine' made None, which is no torch optimizer"):
        build_optimizer(registered(nothing), nn.Linear(3, 2))


@pytest.mark.parametrize(("name", "count"), [("adamw", 2), ("adam", 2), ("sgd", 0), ("rmsprop", 1)])
def test_the_memory_of_an_optimizer_is_seen(name, count):
    assert values_per_weight({"name": name}) == count
