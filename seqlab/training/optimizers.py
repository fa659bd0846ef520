"""Optimisers and learning-rate schedules, by name, from a fixed table."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from seqlab.errors import ConfigError, did_you_mean

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
SCHEDULES = ("none", "cosine", "onecycle", "plateau", "step", "warmup")
_FUSED = ("adamw", "adam", "sgd")


def build_optimizer(spec: Mapping[str, Any], model: nn.Module, *, fused: bool = False) -> Optimizer:
    """The optimiser a spec names, over a model's trainable parameters.

    Weight decay applies to matrices only: biases and other vectors are left alone. ``fused`` asks
    for the implementation in one kernel where the optimiser has it.

    Raises:
        ConfigError: the name or an option is unknown or out of range.
    """
    options = dict(spec)
    name = options.pop("name", None)
    if name not in OPTIMIZERS:
        raise ConfigError(
            f"optimizer.name: unknown {name!r}; {did_you_mean(str(name), OPTIMIZERS)}"
        )
    if "betas" in options:
        options["betas"] = tuple(options["betas"])
    decay = options.pop("weight_decay", 0.0)
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise ConfigError("the model has no trainable parameter")
    groups = [
        {"params": [p for p in trainable if p.dim() > 1], "weight_decay": decay},
        {"params": [p for p in trainable if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if name in _FUSED:
        options["fused"] = fused
    try:
        return OPTIMIZERS[name]([group for group in groups if group["params"]], **options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"optimizer: {error}") from error


def build_schedule(
    spec: Mapping[str, Any],
    optimizer: Optimizer,
    *,
    total_steps: int | None,
    steps_per_epoch: int,
    mode: str,
) -> dict[str, Any] | None:
    """Lightning's description of the schedule a spec names, or None for a constant rate.

    Every schedule but ``plateau`` is a function of the optimiser step alone.

    Raises:
        ConfigError: the schedule needs the length of the run or of an epoch, and it is unknown.
    """
    options = dict(spec)
    name = options.pop("name", "none")
    if name == "none":
        return None
    if name == "plateau":
        plateau = ReduceLROnPlateau(optimizer, mode=mode, **options)  # type: ignore[arg-type]
        # Lightning would leave out the step of an epoch it resumed in; TrainingModule takes it
        return {"scheduler": plateau, "monitor": "loss", "frequency": sys.maxsize}
    if name not in SCHEDULES:
        raise ConfigError(f"scheduler.name: unknown {name!r}; {did_you_mean(str(name), SCHEDULES)}")
    if name == "step":
        factor = step_factor(steps_per_epoch=steps_per_epoch, **options)
    elif total_steps is None:
        raise ConfigError(
            f"scheduler '{name}' needs the length of the run; give trainer.max_epochs or "
            "trainer.max_steps"
        )
    else:
        factor = _FACTORS[name](optimizer.defaults["lr"], total_steps, **options)
    return {"scheduler": LambdaLR(optimizer, factor), "interval": "step", "frequency": 1}


def step_factor(
    *, steps_per_epoch: int, step_size: int = 10, gamma: float = 0.1
) -> Callable[[int], float]:
    """``gamma`` to the power of the completed spans of ``step_size`` epochs."""
    return lambda step: float(gamma ** (step // steps_per_epoch // step_size))


def cosine_factor(
    lr: float, total_steps: int, *, warmup_steps: int = 0, min_lr: float = 0.0
) -> Callable[[int], float]:
    """Linear warm-up, then half a cosine down to ``min_lr`` (Loshchilov and Hutter, 2017).

    >>> [round(cosine_factor(1.0, 4)(step), 3) for step in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    floor = min_lr / lr

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        share = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share))

    return factor


def warmup_factor(
    lr: float, total_steps: int, *, warmup_steps: int = 100, min_lr: float = 0.0
) -> Callable[[int], float]:
    """Linear rise over ``warmup_steps``, then linear fall to ``min_lr``.

    >>> [warmup_factor(1.0, 6, warmup_steps=2)(step) for step in range(7)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    floor = min_lr / lr

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        share = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return floor + (1 - floor) * (1 - share)

    return factor


def onecycle_factor(
    lr: float,
    total_steps: int,
    *,
    max_lr: float | None = None,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Callable[[int], float]:
    """One rise to ``max_lr`` and one fall, both half cosines (Smith, 2018).

    >>> [round(onecycle_factor(1.0, 6, pct_start=0.5)(step), 2) for step in range(6)]
    [0.04, 0.52, 1.0, 0.75, 0.25, 0.0]
    """
    peak = (max_lr if max_lr is not None else lr) / lr
    start, end = peak / div_factor, peak / div_factor / final_div_factor
    last = max(1, total_steps - 1)
    top = pct_start * total_steps - 1

    def factor(step: int) -> float:
        if step < top:
            low, high, share = start, peak, step / top
        else:
            low, high, share = peak, end, min(1.0, (step - top) / max(1e-9, last - top))
        return low + (high - low) * 0.5 * (1 - math.cos(math.pi * share))

    return factor


_FACTORS: dict[str, Callable[..., Callable[[int], float]]] = {
    "cosine": cosine_factor,
    "warmup": warmup_factor,
    "onecycle": onecycle_factor,
}
