"""The spec's optimisers and learning-rate schedules: their options, defaults and sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqlab.schema import Count, Fraction, NonNegative, Positive, Share, Whole


@dataclass(frozen=True)
class AdamWSpec:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    name: Literal["adamw"]
    lr: Positive = 3e-3
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.01


@dataclass(frozen=True)
class AdamSpec:
    """Adam (Kingma and Ba, 2015); ``weight_decay`` adds to the gradient."""

    name: Literal["adam"]
    lr: Positive = 3e-3
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0


@dataclass(frozen=True)
class SGDSpec:
    """Stochastic gradient descent, with classical or Nesterov momentum."""

    name: Literal["sgd"]
    lr: Positive = 0.1
    momentum: Fraction = 0.0
    nesterov: bool = False
    weight_decay: NonNegative = 0.0


@dataclass(frozen=True)
class RMSpropSpec:
    """RMSprop (Tieleman and Hinton, 2012)."""

    name: Literal["rmsprop"]
    lr: Positive = 1e-3
    alpha: Fraction = 0.99
    eps: Positive = 1e-8
    momentum: Fraction = 0.0
    centered: bool = False
    weight_decay: NonNegative = 0.0


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
    warmup_steps: Whole = 0
    min_lr: NonNegative = 0.0


@dataclass(frozen=True)
class OneCycleSpec:
    """One rise to ``max_lr`` (default: the optimiser's ``lr``) and one fall (Smith, 2018).

    ``pct_start`` is the rise's share of the run; the rate starts at ``max_lr / div_factor`` and
    ends at that start divided by ``final_div_factor``.
    """

    name: Literal["onecycle"]
    max_lr: Positive | None = None
    pct_start: Share = 0.3
    div_factor: Positive = 25.0
    final_div_factor: Positive = 1e4


@dataclass(frozen=True)
class PlateauSpec:
    """Multiplies the rate by ``factor`` after ``patience`` validations without improvement."""

    name: Literal["plateau"]
    factor: Share = 0.5
    patience: Whole = 2
    min_lr: NonNegative = 0.0


@dataclass(frozen=True)
class StepSpec:
    """Multiplies the rate by ``gamma`` every ``step_size`` epochs."""

    name: Literal["step"]
    step_size: Count = 10
    gamma: Positive = 0.1


@dataclass(frozen=True)
class WarmupSpec:
    """A linear rise over ``warmup_steps``, then a linear fall to ``min_lr`` at the run's end."""

    name: Literal["warmup"]
    warmup_steps: Whole = 100
    min_lr: NonNegative = 0.0
