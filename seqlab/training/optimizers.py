"""The built-in optimisers, and building the one that a spec names.

An optimiser is a class or function ``(params, **options) -> torch.optim.Optimizer``, registered as
kind ``optimizer``. Two options have a meaning of their own: ``weight_decay``, which is applied to
matrices alone, and ``fused``, which a run gives where its device has the one-kernel form.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from seqlab import registry
from seqlab.construct import accepted_options, construct, split_spec
from seqlab.errors import ConfigError, SeqlabError, one_line
from seqlab.schema import Fraction, NonNegative, Positive

#: What an optimiser is given: parameters, or groups of them with options of their own.
Params = Iterable[Any]


def adamw(
    params: Params,
    *,
    lr: Positive = 3e-3,
    betas: tuple[Fraction, Fraction] = (0.9, 0.999),
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 0.01,
    fused: bool | None = None,
) -> Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    The decay takes ``lr * weight_decay`` of each weight, and the gradient has no part in it.

    Args:
        params: what is trained.
        lr: the learning rate.
        betas: decay of the means of gradients and of their squares.
        eps: added to the denominator.
        weight_decay: of matrices.
        fused: one kernel for all parameters; null: where the device has it.
    """
    first, second = betas
    return torch.optim.AdamW(
        params, lr=lr, betas=(first, second), eps=eps, weight_decay=weight_decay, fused=fused
    )


def adam(
    params: Params,
    *,
    lr: Positive = 3e-3,
    betas: tuple[Fraction, Fraction] = (0.9, 0.999),
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 0.0,
    fused: bool | None = None,
) -> Optimizer:
    """Adam (Kingma and Ba, 2015): steps by the mean gradient over the root of the mean square.

    Args:
        params: what is trained.
        lr: the learning rate.
        betas: decay of the means of gradients and of their squares.
        eps: added to the denominator.
        weight_decay: adds so much of each matrix to its gradient.
        fused: one kernel for all parameters; null: where the device has it.
    """
    first, second = betas
    return torch.optim.Adam(
        params, lr=lr, betas=(first, second), eps=eps, weight_decay=weight_decay, fused=fused
    )


def sgd(
    params: Params,
    *,
    lr: Positive = 0.1,
    momentum: Fraction = 0.0,
    nesterov: bool = False,
    weight_decay: NonNegative = 0.0,
    fused: bool | None = None,
) -> Optimizer:
    """Stochastic gradient descent, with classical or Nesterov momentum (Sutskever et al., 2013).

    Args:
        params: what is trained.
        lr: the learning rate.
        momentum: how much of the last step is repeated.
        nesterov: look at the gradient where the momentum leads.
        weight_decay: adds so much of each matrix to its gradient.
        fused: one kernel for all parameters; null: where the device has it.
    """
    return torch.optim.SGD(
        params, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=fused
    )


def rmsprop(
    params: Params,
    *,
    lr: Positive = 1e-3,
    alpha: Fraction = 0.99,
    eps: Positive = 1e-8,
    momentum: Fraction = 0.0,
    centered: bool = False,
    weight_decay: NonNegative = 0.0,
) -> Optimizer:
    """RMSprop (Tieleman and Hinton, 2012): gradients over the root of their mean square.

    Args:
        params: what is trained.
        lr: the learning rate.
        alpha: decay of the mean of squares.
        eps: added to the denominator.
        momentum: how much of the last step is repeated.
        centered: take the variance in place of the mean square.
        weight_decay: adds so much of each matrix to its gradient.
    """
    return torch.optim.RMSprop(
        params,
        lr=lr,
        alpha=alpha,
        eps=eps,
        momentum=momentum,
        centered=centered,
        weight_decay=weight_decay,
    )


def build_optimizer(
    spec: Mapping[str, Any],
    model: nn.Module,
    *,
    fused: bool = False,
    rates: Mapping[str, float] | None = None,
) -> Optimizer:
    """The optimiser a spec names, over a model's trainable parameters.

    Weight decay applies to matrices only: biases and other vectors are left alone. ``fused`` asks
    for the implementation in one kernel where the optimiser has it and the spec does not say.
    ``rates`` are what the learning rates of some parameters, by name, are multiplied by; the first
    group of the optimiser has the largest.

    Raises:
        SeqlabError: the name or an option is unknown, or a value is refused.
        ConfigError: the model has nothing to train, or the part makes no optimiser.
    """
    name, options = split_spec("optimizer", spec, "optimizer")
    part = registry.get("optimizer", name)
    accepted = accepted_options(part)
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trainable:
        raise ConfigError("the model has no trainable parameter")
    if "fused" in accepted and options.get("fused") is None:
        options["fused"] = fused
    # what stays in a group when the part has no decay is no option of it
    vectors: dict[str, Any] = {"weight_decay": 0.0} if "weight_decay" in accepted else {}
    factors = {name: (rates or {}).get(name, 1.0) for name in trainable}
    groups: list[dict[str, Any]] = []
    for factor in sorted(set(factors.values()), reverse=True):
        here = [p for name, p in trainable.items() if factors[name] == factor]
        groups += [
            {"params": [p for p in here if p.dim() > 1]},
            {"params": [p for p in here if p.dim() <= 1], **vectors},
        ]
    try:
        made = construct(
            "optimizer",
            {"name": name, **options},
            [group for group in groups if group["params"]],
            where="optimizer",
        )
    except SeqlabError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"optimizer: {one_line(error)}") from error
    if not isinstance(made, Optimizer):
        raise ConfigError(f"optimizer: '{name}' made {made!r:.80}, which is no torch optimizer")
    factor_of = {id(p): factors[name] for name, p in trainable.items()}
    for group in made.param_groups:
        factor = factor_of.get(id(group["params"][0]), 1.0)
        if factor != 1 and "lr" in group:
            group["lr"] *= factor
    return made


def values_per_weight(spec: Mapping[str, Any]) -> int:
    """How many values the optimiser of a spec keeps for each weight, seen in one small step.

    >>> values_per_weight({"name": "adam"}), values_per_weight({"name": "sgd"})
    (2, 0)
    """
    model = nn.Linear(3, 2, bias=False)
    optimizer = build_optimizer(spec, model)
    model.weight.grad = torch.zeros_like(model.weight)
    with contextlib.suppress(TypeError, RuntimeError):  # one that asks for a closure
        optimizer.step()
    kept = optimizer.state[model.weight].values()
    return sum(torch.is_tensor(value) and value.shape == model.weight.shape for value in kept)
