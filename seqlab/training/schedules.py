"""Learning-rate schedules: the base class, the built-in ones, and building the one of a spec."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from seqlab import registry
from seqlab.construct import construct, length_missing, split_spec
from seqlab.errors import OptionError
from seqlab.schema import Count, NonNegative, Positive, Share, Whole


@dataclass(frozen=True)
class RunLength:
    """What a schedule is told of its run.

    Args:
        lr: the optimiser's own learning rate.
        total_steps: optimiser steps of the whole run; None: it ends by time.
        steps_per_epoch: optimiser steps of an epoch.
        mode: whether the metric that is watched is best at its ``min`` or ``max``.
    """

    lr: float
    total_steps: int | None = None
    steps_per_epoch: int = 1
    mode: str = "min"


class Schedule:
    """How the learning rate changes over a run; registered kind ``schedule``.

    An author writes ``factor``, which depends on the optimiser step alone, so that a resumed run
    has the rates of the unbroken one. The rate of each group of parameters is its own times that.
    What cannot be said so gives a scheduler of torch's, in ``scheduler``.

    Args:
        run: the run's length and rate; options come after it, by keyword.

    Class attributes:
        needs_length: ``factor`` uses ``run.total_steps``: a run without an end is refused, and one
            that is resumed keeps its length.
        stepped: ``step``: after each optimiser step; ``validation``: after each validation, with
            the value of the metric that is watched.

    Example:
        >>> class Halving(Schedule):
        ...     def factor(self, step):
        ...         return 0.5 ** (step // self.run.steps_per_epoch)
        >>> [Halving(RunLength(lr=0.1, steps_per_epoch=2)).factor(step) for step in range(4)]
        [1.0, 1.0, 0.5, 0.5]
    """

    needs_length: ClassVar[bool] = False
    stepped: ClassVar[Literal["step", "validation"]] = "step"

    def __init__(self, run: RunLength) -> None:
        self.run = run

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run, where ``needs_length``."""
        return self.run.total_steps or 1

    def factor(self, step: int) -> float:
        """The share of the optimiser's own rate that holds in optimiser step ``step``, from 0."""
        raise NotImplementedError

    def scheduler(self, optimizer: Optimizer) -> Any:
        """Torch's scheduler; None: the rate stays as it is."""
        # torch would save what belongs to a method
        return LambdaLR(optimizer, lambda step: self.factor(step))  # noqa: PLW0108


class NoSchedule(Schedule):
    """The learning rate stays as it is."""

    def factor(self, step: int) -> float:
        """Always 1."""
        del step
        return 1.0

    def scheduler(self, optimizer: Optimizer) -> None:
        """None is needed."""
        del optimizer


class StepSchedule(Schedule):
    """Multiplies the rate by ``gamma`` every ``step_size`` epochs.

    Args:
        run: the run's length and rate.
        step_size: epochs between two changes.
        gamma: the factor of each.
    """

    def __init__(self, run: RunLength, *, step_size: Count = 10, gamma: Positive = 0.1) -> None:
        super().__init__(run)
        self.step_size, self.gamma = step_size, gamma

    def factor(self, step: int) -> float:
        """``gamma`` to the power of the completed spans of ``step_size`` epochs."""
        return float(self.gamma ** (step // self.run.steps_per_epoch // self.step_size))


class WarmupSchedule(Schedule):
    """A linear rise over ``warmup_steps``, then a linear fall to ``min_lr`` at the run's end.

    Args:
        run: the run's length and rate.
        warmup_steps: optimiser steps of the rise.
        min_lr: the rate at the end.

    Example:
        >>> schedule = WarmupSchedule(RunLength(lr=1.0, total_steps=6), warmup_steps=2)
        >>> [schedule.factor(step) for step in range(7)]
        [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    """

    needs_length = True

    def __init__(
        self, run: RunLength, *, warmup_steps: Whole = 100, min_lr: NonNegative = 0.0
    ) -> None:
        super().__init__(run)
        self.warmup_steps, self.floor = warmup_steps, min_lr / run.lr

    def factor(self, step: int) -> float:
        """The rise, then ``fall``."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        left = max(1, self.total_steps - self.warmup_steps)
        share = min(1.0, (step - self.warmup_steps) / left)
        return self.floor + (1 - self.floor) * self.fall(share)

    def fall(self, share: float) -> float:
        """From 1 to 0 while the share of the way goes from 0 to 1."""
        return 1 - share


class CosineSchedule(WarmupSchedule):
    """Half a cosine from ``lr`` to ``min_lr`` over the whole run (Loshchilov and Hutter, 2017).

    The rate rises linearly over the first ``warmup_steps`` optimiser steps.

    Args:
        run: the run's length and rate.
        warmup_steps: optimiser steps of the rise.
        min_lr: the rate at the end.

    Example:
        >>> schedule = CosineSchedule(RunLength(lr=1.0, total_steps=4))
        >>> [round(schedule.factor(step), 3) for step in range(5)]
        [1.0, 0.854, 0.5, 0.146, 0.0]
    """

    def __init__(
        self, run: RunLength, *, warmup_steps: Whole = 0, min_lr: NonNegative = 0.0
    ) -> None:
        super().__init__(run, warmup_steps=warmup_steps, min_lr=min_lr)

    def fall(self, share: float) -> float:
        """Half a cosine."""
        return 0.5 * (1 + math.cos(math.pi * share))


class OneCycleSchedule(Schedule):
    """One rise to ``max_lr`` (default: the optimiser's ``lr``) and one fall (Smith, 2018).

    Both are half cosines. The rate starts at ``max_lr / div_factor`` and ends at that start
    divided by ``final_div_factor``.

    Args:
        run: the run's length and rate.
        max_lr: the highest rate; null: the optimiser's own.
        pct_start: the rise's share of the run.
        div_factor: the highest rate over the first.
        final_div_factor: the first rate over the last.

    Example:
        >>> schedule = OneCycleSchedule(RunLength(lr=1.0, total_steps=6), pct_start=0.5)
        >>> [round(schedule.factor(step), 2) for step in range(6)]
        [0.04, 0.52, 1.0, 0.75, 0.25, 0.0]
    """

    needs_length = True

    def __init__(
        self,
        run: RunLength,
        *,
        max_lr: Positive | None = None,
        pct_start: Share = 0.3,
        div_factor: Positive = 25.0,
        final_div_factor: Positive = 1e4,
    ) -> None:
        super().__init__(run)
        self.peak = (max_lr if max_lr is not None else run.lr) / run.lr
        self.start = self.peak / div_factor
        self.end = self.start / final_div_factor
        self.top = pct_start * self.total_steps - 1

    def factor(self, step: int) -> float:
        """The rise up to step ``top``, then the fall."""
        last = max(1, self.total_steps - 1)
        if step < self.top:
            low, high, share = self.start, self.peak, step / self.top
        else:
            low, high = self.peak, self.end
            share = min(1.0, (step - self.top) / max(1e-9, last - self.top))
        return low + (high - low) * 0.5 * (1 - math.cos(math.pi * share))


class PlateauSchedule(Schedule):
    """Multiplies the rate by ``factor`` after ``patience`` validations without improvement.

    Args:
        run: the run's length and rate.
        factor: what the rate is multiplied by.
        patience: how many validations in a row may bring no improvement.
        min_lr: the lowest rate.
    """

    stepped = "validation"

    def __init__(
        self,
        run: RunLength,
        *,
        factor: Share = 0.5,
        patience: Whole = 2,
        min_lr: NonNegative = 0.0,
    ) -> None:
        super().__init__(run)
        self.options = {"factor": factor, "patience": patience, "min_lr": min_lr}

    def scheduler(self, optimizer: Optimizer) -> Any:
        """Torch's own, which counts the validations."""
        return ReduceLROnPlateau(optimizer, mode=self.run.mode, **self.options)  # type: ignore[arg-type]


#: Lightning would leave out the step of an epoch it resumed in; TrainingModule takes it.
_BY_HAND: dict[str, Any] = {"reduce_on_plateau": True, "frequency": sys.maxsize}


def needs_length(name: str) -> bool:
    """Whether the rates of a registered schedule depend on how long the run is to be.

    Raises:
        UnknownNameError: there is no such schedule.
    """
    return bool(getattr(registry.get("schedule", name), "needs_length", False))


def check_length(spec: Mapping[str, Any], *, known: bool) -> None:
    """Refuse the schedule of a spec if it needs the length of the run and that is not known.

    Raises:
        ConfigError: it is so.
    """
    name, _ = split_spec("schedule", spec, "scheduler")
    if needs_length(name) and not known:
        raise length_missing(name)


def build_schedule(
    spec: Mapping[str, Any], optimizer: Optimizer, run: RunLength
) -> dict[str, Any] | None:
    """Lightning's description of the schedule a spec names, or None for a constant rate.

    Raises:
        SeqlabError: the name or an option is unknown, or a value is refused.
        ConfigError: the schedule needs the length of the run, and it is unknown.
    """
    check_length(spec, known=run.total_steps is not None)
    name, _ = split_spec("schedule", spec, "scheduler")
    schedule = construct("schedule", spec, run, where="scheduler")
    if not isinstance(schedule, Schedule):
        raise OptionError(f"scheduler: '{name}' is no subclass of seqlab.Schedule")
    scheduler = schedule.scheduler(optimizer)
    if scheduler is None:
        return None
    if schedule.stepped == "validation":
        return {"scheduler": scheduler, "monitor": "loss", **_BY_HAND}
    return {"scheduler": scheduler, "interval": "step", "frequency": 1}
