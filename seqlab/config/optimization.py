"""The spec's optimisers and learning-rate schedules: their options, defaults and sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class AdamWSpec:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    name: Literal["adamw"]
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01


@dataclass(frozen=True)
class AdamSpec:
    """Adam (Kingma and Ba, 2015); ``weight_decay`` adds to the gradient."""

    name: Literal["adam"]
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0


@dataclass(frozen=True)
class SGDSpec:
    """Stochastic gradient descent, with classical or Nesterov momentum."""

    name: Literal["sgd"]
    lr: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0


@dataclass(frozen=True)
class RMSpropSpec:
    """RMSprop (Tieleman and Hinton, 2012)."""

    name: Literal["rmsprop"]
    lr: float = 1e-3
    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    centered: bool = False
    weight_decay: float = 0.0


@dataclass(frozen=True)
class NoScheduleSpec:
    """The learning rate stays as it is."""

    name: Literal["none"]


@dataclass(frozen=True)
class CosineSpec:
    """Half a cosine from ``lr`` to ``min_lr`` over the whole run (Loshchilov and Hutter, 2017).

    The rate rises linearly over the first ``warmup_steps`` optimiser steps.
    """

    name: Literal["cosine"]
    warmup_steps: int = 0
    min_lr: float = 0.0


@dataclass(frozen=True)
class OneCycleSpec:
    """One rise to ``max_lr`` (default: the optimiser's ``lr``) and one fall (Smith, 2018).

    ``pct_start`` is the rise's share of the run; the rate starts at ``max_lr / div_factor`` and
    ends at that start divided by ``final_div_factor``.
    """

    name: Literal["onecycle"]
    max_lr: float | None = None
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4


@dataclass(frozen=True)
class PlateauSpec:
    """Multiplies the rate by ``factor`` after ``patience`` validations without improvement."""

    name: Literal["plateau"]
    factor: float = 0.5
    patience: int = 2
    min_lr: float = 0.0


@dataclass(frozen=True)
class StepSpec:
    """Multiplies the rate by ``gamma`` every ``step_size`` epochs."""

    name: Literal["step"]
    step_size: int = 10
    gamma: float = 0.1


@dataclass(frozen=True)
class WarmupSpec:
    """A linear rise over ``warmup_steps``, then a linear fall to ``min_lr`` at the run's end."""

    name: Literal["warmup"]
    warmup_steps: int = 100
    min_lr: float = 0.0
