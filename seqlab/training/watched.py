"""A run that somebody watches from outside, who may halt it after a validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning import LightningModule, Trainer

from seqlab.training.checkpoints import Keeper
from seqlab.training.module import validation_results

#: Told after each validation which it was, from 1, and the monitored value; True halts the run.
Watch = Callable[[int, float], bool]


class HaltedError(Exception):
    """The one who watched a run has halted it; the run can be gone on with."""


class Watched(pl.Callback):
    """Tells the monitored value of each validation, and halts the run when asked to.

    The run ends before the next batch that begins an optimiser step, when its state has been kept:
    it can be resumed as if nothing had happened. A run whose last validation this was ends by
    itself.

    Args:
        keeper: of the run.
        watch: who is told.
    """

    def __init__(self, keeper: Keeper, watch: Watch) -> None:
        self.keeper, self.watch = keeper, watch
        self.halt = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell the value."""
        if not trainer.sanity_checking:
            value = validation_results(pl_module)[self.keeper.monitor]
            # the keeper is called after this, and counts it then
            self.halt = self.watch(self.keeper.scores + 1, value)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Halt where a resumed run can begin.

        Raises:
            HaltedError: as was asked for.
        """
        del pl_module, batch
        if self.halt and batch_idx % trainer.accumulate_grad_batches == 0:
            self.keeper.save(trainer)
            raise HaltedError
