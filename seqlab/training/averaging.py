"""Weights averaged over the steps of a run: what is validated, tested and kept are the averages."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from seqlab.bounds import Share
from seqlab.errors import ConfigError
from seqlab.schema import Count, Flag, Fraction
from seqlab.training.callbacks import Callback


class WeightAverage(Callback):
    """Base of the averages: which steps count, and how; training itself never sees them.

    A subclass writes ``due`` and ``add``. Validation is done with the averages, and so are the test
    and the bundle; the run goes on with its own weights, which the resume checkpoint keeps beside
    the averages.
    """

    needs_whole_weights = True

    def __init__(self) -> None:
        self.averages: list[Tensor] = []
        self.count = 0
        self._step = 0
        self._held: list[Tensor] | None = None

    def due(self, trainer: pl.Trainer) -> bool:
        """Whether the weights after this optimiser step count."""
        raise NotImplementedError

    def add(self, weights: list[Tensor]) -> None:
        """Count weights in ``averages``, of which ``count`` have been counted."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """The averages, as they are while training goes on."""
        return {"averages": self.averages, "count": self.count, "step": self._step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with them."""
        self.averages = list(state_dict["averages"])
        self.count, self._step = int(state_dict["count"]), int(state_dict["step"])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put averages of a checkpoint where the weights are."""
        del trainer
        if self.averages:
            pairs = zip(self.averages, _weights(pl_module), strict=True)
            self.averages = [average.to(weight) for average, weight in pairs]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Count the weights after an optimiser step, before they are validated."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        if self.due(trainer):
            weights = _weights(pl_module)
            if self.count:
                self.add(weights)
            else:
                self.averages = [weight.clone() for weight in weights]
            self.count += 1

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate the averages."""
        del trainer
        self._put_in(pl_module)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on with the run's own weights."""
        del trainer
        self._take_out(pl_module)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """A run that ends in a validation has its own weights back, should it be saved."""
        del trainer, exception
        self._take_out(pl_module)

    @contextlib.contextmanager
    def measured_weights(self, module: nn.Module) -> Iterator[None]:
        """See the base class: the averages."""
        self._put_in(module)
        try:
            yield
        finally:
            self._take_out(module)

    def end_with(self, module: nn.Module) -> None:
        """See the base class: with the averages."""
        self._put_in(module)
        self._held = None

    @torch.no_grad()
    def _put_in(self, module: nn.Module) -> None:
        if self.averages and self._held is None:
            weights = _weights(module)
            self._held = [weight.clone() for weight in weights]
            _copy(self.averages, weights)

    @torch.no_grad()
    def _take_out(self, module: nn.Module) -> None:
        if self._held is not None:
            _copy(self._held, _weights(module))
            self._held = None


class EMA(WeightAverage):
    """An exponential moving average of the weights (Polyak and Juditsky, 1992; Tarvainen, 2017).

    After the n-th step ``average = d * average + (1 - d) * weights`` with ``d = decay``, or with
    ``warmup`` ``d = min(decay, (1 + n) / (10 + n))``, so that a short run is averaged too.

    Args:
        decay: how much of the average stays at each step.
        every_n_steps: optimiser steps between two that count.
        warmup: begin with a smaller decay.
    """

    def __init__(
        self, *, decay: Fraction = 0.999, every_n_steps: Count = 1, warmup: Flag = True
    ) -> None:
        super().__init__()
        self.decay, self.every_n_steps, self.warmup = decay, every_n_steps, warmup

    def due(self, trainer: pl.Trainer) -> bool:
        """Every so many steps."""
        return trainer.global_step % self.every_n_steps == 0

    @torch.no_grad()
    def add(self, weights: list[Tensor]) -> None:
        """By torch's own rule."""
        start = (1 + self.count) / (10 + self.count)
        decay = min(self.decay, start) if self.warmup else self.decay
        _ema(decay)(self.averages, weights, self.count)


class SWA(WeightAverage):
    """Stochastic weight averaging (Izmailov et al., 2018): the mean of the last epochs' weights.

    The weights at the end of each epoch count, from the epoch on that begins after a share of the
    run. Before that the run's own weights are validated, and may be those that are kept.

    Args:
        begin: the share of the run's epochs before the first that counts.
        begin_epoch: the first epoch that counts, from 1; takes the place of ``begin``.
    """

    def __init__(self, *, begin: Share = 0.75, begin_epoch: Count | None = None) -> None:
        super().__init__()
        self.begin, self.begin_epoch = begin, begin_epoch

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """See the base class.

        Raises:
            ConfigError: how many epochs there are to be is not known.
        """
        super().on_train_start(trainer, pl_module)
        if self.begin_epoch is None and (trainer.max_epochs or -1) < 0:
            raise ConfigError(
                "callbacks.swa: the run has no number of epochs to take a share of; give "
                "begin_epoch, or trainer.max_epochs"
            )

    def due(self, trainer: pl.Trainer) -> bool:
        """At the end of an epoch that is late enough."""
        first = self.begin_epoch or 1 + int(self.begin * (trainer.max_epochs or 0))
        last: bool = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        return last and trainer.current_epoch + 1 >= first

    @torch.no_grad()
    def add(self, weights: list[Tensor]) -> None:
        """By torch's own rule."""
        _swa()(self.averages, weights, self.count)


#: Torch's rules, which have no annotations.
_ema: Callable[[float], Callable[..., None]] = get_ema_multi_avg_fn
_swa: Callable[[], Callable[..., None]] = get_swa_multi_avg_fn


def _weights(module: nn.Module) -> list[Tensor]:
    """All parameters, detached but the same numbers."""
    return [parameter.detach() for parameter in module.parameters()]


def _copy(source: list[Tensor], target: list[Tensor]) -> None:
    for there, here in zip(source, target, strict=True):
        here.copy_(there)
