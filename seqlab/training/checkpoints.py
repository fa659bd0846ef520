"""Two kinds of checkpoints: the best weights, and the whole state to resume from."""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from seqlab.training.callbacks import Callback as SeqlabCallback
from seqlab.training.checkpoint_io import check_plain
from seqlab.training.folder import RunFolder
from seqlab.training.module import validation_results

#: The share of a run's time that writing resume checkpoints may take.
SHARE = 0.02


class Keeper(Checkpoint):
    """Keeps ``best-STEP.ckpt`` (weights) and ``resume.ckpt`` (everything) in one folder.

    The resume checkpoint is written just before a batch, when all that belongs to the step
    before it (validation, logs, schedules) is done, and only between two optimiser steps. So a
    resumed run starts at (epoch, batch) with nothing half done. Unless ``every_n_steps`` is
    given, it is written as often as costs about 2 % of the time, at least a second apart.

    A best checkpoint that a new one has replaced is deleted when a resume checkpoint knows the
    new one, so that a killed run finds the file its resume checkpoint speaks of.

    Args:
        run: the run's folder; checkpoints lie in ``checkpoints`` in it.
        monitor: the validation metric to select by.
        mode: ``min`` or ``max``.
        every_n_steps: optimiser steps between resume checkpoints inside an epoch; with it, one
            is also written at the start of every epoch.
    """

    def __init__(
        self, run: RunFolder, *, monitor: str, mode: str, every_n_steps: int | None = None
    ) -> None:
        self.run, self.folder = run, run.checkpoints
        self.monitor, self.mode = monitor, mode
        self.every_n_steps = every_n_steps
        self.best: dict[str, Any] = {}
        self.scores = 0
        self.last_score = math.nan
        self.finished = False
        self._saved_step = 0
        self._next_save = 0.0

    @property
    def best_path(self) -> Path | None:
        """The file with the best weights, or None before the first validation."""
        return self.folder / self.best["file"] if self.best else None

    def state_dict(self) -> dict[str, Any]:
        """What is best so far, and whether training is over."""
        return {
            "best": dict(self.best),
            "finished": self.finished,
            "scores": self.scores,
            "last_score": self.last_score,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best = dict(state_dict["best"])
        self.scores, self.last_score = state_dict["scores"], state_dict["last_score"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from here, without the files that a killed run wrote later."""
        del pl_module
        self.drop_replaced(trainer)
        self._saved_step = trainer.global_step
        self._next_save = time.monotonic() + 1.0

    def save_when_due(self, trainer: Trainer, batch_idx: int) -> None:
        """Write the resume checkpoint before a batch, when it is due."""
        if batch_idx % trainer.accumulate_grad_batches == 0 and self._due(trainer, batch_idx):
            self.save(trainer)

    def _due(self, trainer: Trainer, batch_idx: int) -> bool:
        if self.every_n_steps is not None or trainer.world_size > 1:
            # the same answer in every process: no clock
            steps = trainer.global_step - self._saved_step
            every = math.inf if self.every_n_steps is None else self.every_n_steps
            return steps >= every or (batch_idx == 0 and steps > 0)
        return time.monotonic() >= self._next_save and trainer.global_step > self._saved_step

    def save(self, trainer: Trainer) -> None:
        """Write the resume checkpoint now, at the start of a batch."""
        begin = time.monotonic()
        self.run.check_there()
        trainer.save_checkpoint(self.run.resume_checkpoint)
        self._saved_step = trainer.global_step
        end = time.monotonic()
        self._next_save = end + max(1.0, (end - begin) / SHARE)
        self.drop_replaced(trainer)

    def drop_replaced(self, trainer: Trainer) -> None:
        """Delete every best checkpoint but the one that is best now."""
        if trainer.is_global_zero:
            for path in self.folder.glob("best-*.ckpt"):
                if path != self.best_path:
                    path.unlink()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Describe the state between two batches as Lightning's loops can resume it.

        Raises:
            RunError: a part's state could be written and not be read again.
        """
        del pl_module
        check_plain(trainer, checkpoint)
        if self.finished:
            checkpoint["epoch"] = before_another_batch(checkpoint["loops"]["fit_loop"])
        else:
            between_batches(checkpoint["loops"]["fit_loop"])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the weights if they are the best so far; of equals, the later."""
        if trainer.sanity_checking:
            return
        values = validation_results(pl_module)
        score = values[self.monitor]
        self.scores, self.last_score = self.scores + 1, score
        if math.isnan(score) or not self._better(score):
            return
        step = trainer.global_step
        self.best = {
            "file": f"best-{step:08d}.ckpt",
            "score": score,
            "step": step,
            "epoch": trainer.current_epoch + 1,
            "validation": dict(values),
        }
        self.run.check_there()
        with contextlib.ExitStack() as stack:
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, SeqlabCallback):
                    stack.enter_context(callback.measured_weights(pl_module))
            trainer.save_checkpoint(self.folder / self.best["file"], weights_only=True)

    def _better(self, score: float) -> bool:
        best = float(self.best.get("score", math.nan))
        return math.isnan(best) or (score <= best if self.mode == "min" else score >= best)

    @property
    def choice(self) -> str | None:
        """Which weights were kept, and why; None without a validation that has a score."""
        if not self.best:
            return None
        extreme = "lowest" if self.mode == "min" else "highest"
        return (
            f"kept the weights of epoch {self.best['epoch']}, step {self.best['step']}: "
            f"val_{self.monitor} {self.best['score']:.4g} is the {extreme} of "
            f"{self.scores} validations; the last was {self.last_score:.4g}"
        )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that training is over; what is left are the tests and the bundle."""
        del pl_module
        self.finished = True
        self.save(trainer)


class SaveBeforeBatch(Callback):
    """Has the keeper save before any callback begins with a batch.

    Lightning calls a ``Checkpoint`` after all others. A callback that counts batches as they begin
    would then be saved with the batch that a resumed run begins again.

    Args:
        keeper: saves when it is due.
    """

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Write the resume checkpoint when it is due."""
        del pl_module, batch
        self.keeper.save_when_due(trainer, batch_idx)


def between_batches(loop: dict[str, Any]) -> None:
    """Turn the loop state at the start of a batch into the one before it, in place.

    Lightning counts a batch as ready before it calls ``on_train_batch_start``.
    """
    progress = loop["epoch_loop.batch_progress"]
    for counts in (progress["total"], progress["current"]):
        done = counts["completed"]
        counts.update(ready=done, started=done, processed=done)
    progress["is_last_batch"] = False


def before_another_batch(loop: dict[str, Any]) -> int:
    """Turn the loop state at the end of a run into the one before the next batch, in place.

    Lightning counts an epoch as done in whose middle a run ends. After a whole epoch the next one
    begins.

    Returns:
        The epochs that are done.
    """
    epochs, batches = loop["epoch_progress"], loop["epoch_loop.batch_progress"]
    whole = batches["is_last_batch"]
    for counts in (epochs["total"], epochs["current"]):
        done = counts["completed"] - (not whole)
        counts.update(ready=done + 1, started=done + 1, processed=done, completed=done)
    if whole:
        progress = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
        for counts in (batches, progress["step"], progress["zero_grad"]):
            counts["current"] = dict.fromkeys(counts["current"], 0)
    batches["is_last_batch"] = False
    return int(epochs["current"]["completed"])


def is_before_a_batch(loop: dict[str, Any]) -> bool:
    """Whether a run can go on from a loop state; earlier versions kept that of a finished one."""
    epochs = loop["epoch_progress"]["current"]
    return bool(epochs["ready"] > epochs["completed"])
