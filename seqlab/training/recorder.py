"""What a run writes down while it trains: ``metrics.csv``, other loggers, a line per epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from seqlab.console import say
from seqlab.errors import RunError
from seqlab.training.metrics_file import MetricsFile
from seqlab.training.module import validation_results


class Recorder(Callback):
    """Writes ``metrics.csv`` with each step once, feeds other loggers, prints a line an epoch.

    A row is written every ``log_every_n_steps`` optimiser steps and at each validation:
    ``step, epoch, train_loss`` (mean since the last row), ``lr, val_*, seconds``. It also ends
    the run after ``max_steps`` or ``max_seconds``, after one last validation.

    Args:
        folder: the run's folder.
        every: optimiser steps between rows.
        max_steps: end after so many optimiser steps; -1: no limit.
        max_seconds: end after so much training time, earlier parts of a resumed run included.
        write: whether this process writes anything; only one of several does.
    """

    def __init__(
        self,
        folder: Path,
        *,
        every: int = 50,
        max_steps: int = -1,
        max_seconds: float | None = None,
        write: bool = True,
    ) -> None:
        self.file = MetricsFile(folder / "metrics.csv")
        self.every = max(1, every)
        self.max_steps, self.max_seconds = max_steps, max_seconds
        self.write = write
        self.pending: dict[str, Any] = {}
        self.kept_rows = 0
        self.earlier_seconds = self.final_seconds = 0.0
        self.last_step = 0
        self.said_step = -1
        self.epoch_loss = [0.0, 0]
        self.ended: str | None = None
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Training time so far, all parts of a resumed run together."""
        return self.earlier_seconds + time.monotonic() - self._started

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on with the file, the clock and the epoch's mean."""
        self.flush()
        return {
            "rows": self.file.rows,
            "seconds": self.seconds,
            "last_step": self.last_step,
            "epoch_loss": list(self.epoch_loss),
            "ended": self.ended,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.kept_rows = int(state_dict["rows"])
        self.earlier_seconds = self.final_seconds = float(state_dict["seconds"])
        self.last_step = int(state_dict["last_step"])
        self.epoch_loss = list(state_dict["epoch_loss"])
        self.ended = state_dict["ended"]

    def on_train_start(self, *_: Any) -> None:
        """Drop the rows that a killed run wrote after its last checkpoint."""
        self._started = time.monotonic()
        if self.write:
            self.file.keep(self.kept_rows)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Write a row when it is due, and stop when the limit is reached."""
        step = trainer.global_step
        if step != self.last_step:
            self.last_step = step
            if step % self.every == 0:
                self._note_training(trainer, pl_module)
            if self._at_limit(trainer, step):
                trainer.should_stop = True

    def _at_limit(self, trainer: Trainer, step: int) -> bool:
        if 0 <= self.max_steps <= step:
            return True
        if self.max_seconds is None:
            return False
        if trainer.world_size == 1:
            return self.seconds >= self.max_seconds
        if step % 10:
            return False
        late = self.seconds >= self.max_seconds
        return bool(trainer.strategy.reduce_boolean_decision(late, all=False))

    def _ending(self, trainer: Trainer) -> str:
        reasons = (getattr(callback, "reason", None) for callback in trainer.callbacks)  # type: ignore[attr-defined]
        if reason := next(filter(None, reasons), None):
            return str(reason)
        if 0 <= self.max_steps <= trainer.global_step:
            return f"trainer.max_steps={self.max_steps}"
        if trainer.max_epochs is not None and 0 <= trainer.max_epochs <= trainer.current_epoch:
            return f"trainer.max_epochs={trainer.max_epochs}"
        if self.max_seconds is None:
            return "a callback"
        return f"trainer.max_seconds={self.max_seconds}"

    def _note_training(self, trainer: Trainer, module: Any) -> None:
        total, count = module.meter.take()
        if not count:
            return
        if not math.isfinite(total):
            raise RunError(
                f"the training loss became {total} by step {trainer.global_step}; "
                "try a smaller optimizer.lr or trainer.gradient_clip_val, or "
                "trainer.detect_anomaly=true to see where it arises"
            )
        self.epoch_loss = [self.epoch_loss[0] + total, self.epoch_loss[1] + count]
        self._note(trainer, {"train_loss": total / count, "lr": module.meter.lr})

    def _note(self, trainer: Trainer, values: Mapping[str, float]) -> None:
        step = trainer.global_step
        if self.pending and self.pending["step"] != step:
            self.flush()
        if not self.pending:
            self.pending = {"step": step, "epoch": trainer.current_epoch + 1}
        self.pending.update(values)
        if self.write:
            for logger in trainer.loggers:
                logger.log_metrics(dict(values), step)

    def flush(self) -> None:
        """Write the row of the current step, which can then no longer change."""
        if self.pending and self.write:
            row = {
                name: f"{value:.6g}" if isinstance(value, float) else value
                for name, value in self.pending.items()
            }
            self.file.write({**row, "seconds": f"{self.seconds:.2f}"})
        self.pending = {}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the validation metrics beside the training loss so far."""
        if trainer.sanity_checking:
            return
        self._note_training(trainer, pl_module)
        values = validation_results(pl_module)
        self._note(trainer, {f"val_{name}": value for name, value in values.items()})
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._say(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the epoch's line."""
        self._note_training(trainer, pl_module)
        if trainer.global_step != self.said_step:  # a run may end with a validation inside an epoch
            self._say(trainer)
        self.epoch_loss = [0.0, 0]

    def _say(self, trainer: Trainer) -> None:
        self.said_step = trainer.global_step
        parts = [f"epoch {epoch_of(trainer)}", f"step {trainer.global_step}"]
        if self.epoch_loss[1]:
            parts.append(f"train_loss {self.epoch_loss[0] / self.epoch_loss[1]:.4g}")
        parts += [
            f"{name} {value:.4g}" for name, value in self.pending.items() if name[:4] == "val_"
        ]
        if self.write:
            say("  ".join([*parts, f"{self.seconds:.1f}s"]))

    def on_train_end(self, trainer: Trainer, *_: Any) -> None:
        """Write the last row, stop the clock, and note what ended the run."""
        self.ended = self._ending(trainer)
        self.final_seconds = self.seconds
        self.flush()


def epoch_of(trainer: Trainer) -> str:
    """The epoch and how many there will be, where that is known."""
    of = f"/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
    return f"{trainer.current_epoch + 1}{of}"
