"""Lightning's Trainer and its callbacks, from a spec."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.strategies import DDPStrategy, StrategyRegistry
from torch.nn.parallel import DistributedDataParallel

from seqlab import progress
from seqlab.console import is_primary
from seqlab.errors import ConfigError, DataError, did_you_mean, one_line
from seqlab.heads.base import Head
from seqlab.training.callbacks import build_callbacks
from seqlab.training.checkpoint_io import AtomicCheckpointIO
from seqlab.training.checkpoints import Keeper, SaveBeforeBatch
from seqlab.training.folder import RunFolder
from seqlab.training.loggers import build_loggers
from seqlab.training.monitor import monitor_of
from seqlab.training.recorder import Recorder
from seqlab.training.sharding import ShardedStrategy
from seqlab.training.stages_shown import StagesShown
from seqlab.training.stopping import StopAtOnce

#: ``max_epochs=auto``: so many epochs, and as many more as bring so many optimiser steps.
_EPOCHS, _STEPS = 10, 500
#: Hooks of a callback that Lightning calls in every step, and that cost time even when empty.
_STEP_HOOKS = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)
#: Keys of ``trainer`` that are Lightning's own, and what null stands for.
_OWN: dict[str, Any] = {
    "accelerator": "auto",
    "devices": 1,
    "num_nodes": 1,
    "precision": "32-true",
    "gradient_clip_val": None,
    "gradient_clip_algorithm": None,
    "accumulate_grad_batches": 1,
    "deterministic": None,
    "benchmark": None,
    "val_check_interval": 1.0,
    "check_val_every_n_epoch": 1,
    "num_sanity_val_steps": 0,
    "limit_train_batches": 1.0,
    "limit_val_batches": 1.0,
    "limit_test_batches": 1.0,
    "detect_anomaly": False,
}


def make_callbacks(
    spec: Mapping[str, Any], folder: RunFolder, head: Head, *, validates: bool
) -> tuple[Recorder, Keeper, list[pl.Callback]]:
    """The recorder, the keeper, and all callbacks in their order.

    Lightning calls the keeper last. What saves the state before a batch comes first, before
    another callback has begun with it.
    """
    trainer, callbacks = spec["trainer"], spec.get("callbacks") or {}
    kept = callbacks.get("checkpoint") or {}
    monitor, mode = monitor_of(kept, head, "callbacks.checkpoint")
    recorder = Recorder(
        folder.path,
        every=trainer.get("log_every_n_steps", 50),
        max_steps=trainer.get("max_steps", -1),
        max_seconds=trainer.get("max_seconds"),
        write=is_primary(),
    )
    keeper = Keeper(folder, monitor=monitor, mode=mode, every_n_steps=kept.get("every_n_steps"))
    found: list[pl.Callback] = [SaveBeforeBatch(keeper), recorder, keeper, StopAtOnce()]
    if progress.is_watched():
        refresh = (callbacks.get("progress") or {}).get("refresh_rate", 10)
        found.append(StagesShown(refresh=refresh, recorder=recorder))
    found += build_callbacks(callbacks, head, validates=validates)
    for callback in found:
        _skip_empty_hooks(callback)
    return recorder, keeper, found


def _skip_empty_hooks(callback: pl.Callback) -> None:
    """Make Lightning pass over the per-step hooks that a callback does not have."""
    for name in _STEP_HOOKS:
        if getattr(type(callback), name) is getattr(pl.Callback, name):
            setattr(callback, name, None)


def make_trainer(
    spec: Mapping[str, Any],
    folder: RunFolder,
    callbacks: list[pl.Callback],
    *,
    unused: bool = False,
) -> pl.Trainer:
    """Lightning's Trainer; rows of the log, checkpoints and limits are the callbacks' work.

    Args:
        spec: the run's.
        folder: the run's.
        callbacks: in their order.
        unused: whether some parameters get no gradient in some batches.

    Raises:
        ConfigError: options do not go together.
    """
    options = spec["trainer"]
    own = {key: options.get(key) for key in _OWN}
    own = {key: _OWN[key] if value is None else value for key, value in own.items()}
    strategy = options.get("strategy", "auto")
    trainer = _trainer(
        **own,
        strategy=ShardedStrategy() if strategy == "fsdp" else strategy,
        max_epochs=-1,
        callbacks=callbacks,
        logger=build_loggers(spec.get("logger"), folder.path) if is_primary() else False,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder.path,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    # the encoder brings features to the type of the weights; batches are frozen
    precision: Any = trainer.strategy.precision_plugin
    precision.convert_input = _unchanged
    _set_up_ddp(trainer.strategy, unused=unused)
    return trainer


def _trainer(**options: Any) -> pl.Trainer:
    """Lightning's Trainer; options that do not go together are a mistake in the config."""
    try:
        return pl.Trainer(**options)
    except (ImportError, TypeError, ValueError, MisconfigurationException) as error:
        raise ConfigError(f"trainer: {one_line(error)}") from error


def _unchanged(batch: Any) -> Any:
    return batch


def check_strategy(options: Mapping[str, Any]) -> None:
    """Refuse a strategy that Lightning does not know, or that a run cannot end well with.

    Args:
        options: the config's ``trainer``.

    Raises:
        ConfigError: there is none of that name, or it is not supported.
    """
    name = options.get("strategy", "auto")
    known = ["auto", *StrategyRegistry.available_strategies()]
    if name not in known:
        raise ConfigError(
            f"trainer.strategy: unknown strategy '{name}': {did_you_mean(name, known)}"
        )
    if name == "fsdp_cpu_offload":
        raise ConfigError(
            "trainer.strategy=fsdp_cpu_offload: shares that wait in the processor's memory are not "
            "supported; use trainer.strategy=fsdp, or trainer=ddp"
        )


def _set_up_ddp(strategy: Any, *, unused: bool) -> None:
    """Have DDP leave buffers alone, and wait for no gradient of an unused parameter."""
    if not isinstance(strategy, DDPStrategy):
        return
    known = inspect.signature(DistributedDataParallel.__init__).parameters
    # the newer name, where torch has it
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    # each process evaluates its share, and nobody waits for the others there
    strategy._ddp_kwargs[buffers] = False  # noqa: SLF001 - `auto` may be DDP, too
    if unused:
        strategy._ddp_kwargs["find_unused_parameters"] = True  # noqa: SLF001


@dataclass(frozen=True)
class Length:
    """How long a run is.

    Attributes:
        epochs: the most epochs; None: something else ends the run.
        steps: optimiser steps in the whole run; None: only time ends it.
        per_epoch: optimiser steps in an epoch.
    """

    epochs: int | None
    steps: int | None
    per_epoch: int

    def __str__(self) -> str:
        each = f"{self.per_epoch} step{'s' * (self.per_epoch != 1)}"
        return f"{self.epochs} epochs of {each}"


def has_length(trainer: Mapping[str, Any]) -> bool:
    """Whether the epochs or steps of a run are limited; others end by the clock."""
    return trainer.get("max_epochs") is not None or trainer.get("max_steps", -1) >= 0


def run_length(spec: Mapping[str, Any], batches: int) -> Length:
    """The length of a run.

    ``trainer.max_epochs=auto`` is 10 epochs, or as many as make 500 optimiser steps if that is
    more, so that few rows are learnt too; ``trainer.max_steps`` takes the place of both.

    Args:
        spec: the run's spec.
        batches: training batches an epoch of one process.

    Raises:
        DataError: there are none, because there are more processes than batches.
    """
    if batches < 1:
        raise DataError("the training rows make fewer batches than there are processes")
    trainer = spec["trainer"]
    limit = trainer.get("limit_train_batches")
    if isinstance(limit, int) and not isinstance(limit, bool):
        batches = min(limit, batches)
    elif limit is not None:
        batches = int(batches * limit)
    per_epoch = max(1, math.ceil(batches / trainer.get("accumulate_grad_batches", 1)))
    epochs, steps = trainer.get("max_epochs"), trainer.get("max_steps", -1)
    if epochs == "auto":
        epochs = None if steps >= 0 else max(_EPOCHS, math.ceil(_STEPS / per_epoch))
    limits = [epochs * per_epoch] if epochs is not None else []
    if steps >= 0:
        limits.append(steps)
    return Length(epochs, min(limits) if limits else None, per_epoch)
