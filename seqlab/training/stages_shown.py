"""Training, validation and test as stages of work that can be shown."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from seqlab import progress
from seqlab.training.recorder import Recorder, epoch_of


class StagesShown(Callback):
    """Tells where training is: step, epoch, loss; and how many batches are measured.

    Args:
        refresh: batches between looks at the loss; it is looked at five times a second at most,
            because reading it waits for the device.
        recorder: knows the limit of time, and what earlier parts of the run have used of it.
    """

    def __init__(self, *, refresh: int, recorder: Recorder) -> None:
        self.refresh = max(1, refresh)
        self.recorder = recorder
        self.training = self.measured = progress.Stage("training", unit="steps")
        self._training = contextlib.ExitStack()
        self._measuring = contextlib.ExitStack()
        self._looked = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count, at 0 or where an earlier part of the run ended."""
        module: Any = pl_module
        limit = self.recorder.max_seconds
        self.training = progress.Stage(
            "training",
            module.options.total_steps,
            unit="steps",
            seconds=None if limit is None else limit - self.recorder.earlier_seconds,
            summary=False,
        )
        self.training.notes["epoch"] = epoch_of(trainer)
        self.training.start_counting(trainer.global_step)
        self._training.enter_context(progress.during(self.training))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the step, and look at the loss when it is time."""
        del outputs, batch
        self.training.done = trainer.global_step
        if batch_idx % self.refresh == 0 and (now := time.monotonic()) >= self._looked + 0.2:
            self._looked = now
            module: Any = pl_module
            self.training.notes["epoch"] = epoch_of(trainer)
            if (loss := module.meter.mean()) is not None:
                self.training.notes["loss"] = f"{loss:.4g}"

    def on_validation_start(self, trainer: Trainer, *_: Any) -> None:
        """Validation is a stage inside training."""
        self._measure("validation", trainer.num_val_batches)

    def on_validation_batch_end(self, *_: Any) -> None:
        """One more batch is measured."""
        self.measured.advance()

    def on_validation_end(self, *_: Any) -> None:
        """Back to training."""
        self._measuring.close()

    def on_train_end(self, *_: Any) -> None:
        """Training is over."""
        self._training.close()

    def on_test_start(self, trainer: Trainer, *_: Any) -> None:
        """The test is a stage of its own."""
        self._measure("test", trainer.num_test_batches)

    def on_test_batch_end(self, *_: Any) -> None:
        """One more batch is measured."""
        self.measured.advance()

    def on_test_end(self, *_: Any) -> None:
        """The test is over."""
        self._measuring.close()

    def on_exception(self, *_: Any) -> None:
        """Nothing is measured any more."""
        self._measuring.close()
        self._training.close()

    def _measure(self, name: str, batches: Iterable[int | float]) -> None:
        total = sum(batches)
        self.measured = self._measuring.enter_context(
            progress.stage(
                name,
                int(total) if math.isfinite(total) else None,
                unit="batches",
                summary=name == "test",
            )
        )
