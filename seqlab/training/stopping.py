"""A run of several processes that is told to stop."""

from __future__ import annotations

import signal
import threading
from typing import Any, NoReturn

from pytorch_lightning import Callback, Trainer

#: The exit code of a process that SIGTERM ended, as shells have it.
TERMINATED = 143


class StopAtOnce(Callback):
    """SIGTERM ends each process of a distributed run where it is.

    Lightning's own handler sends a message to the other processes from wherever this one was, often
    amid another message, and then all wait for ever. A process alone is left to Lightning, which
    finishes the batch.
    """

    def on_sanity_check_start(self, trainer: Trainer, *_: Any) -> None:
        """As ``on_train_start``."""
        _take_place(trainer)

    def on_train_start(self, trainer: Trainer, *_: Any) -> None:
        """Take the place of Lightning's handler, which it has just set, and takes away itself."""
        _take_place(trainer)

    def on_test_start(self, trainer: Trainer, *_: Any) -> None:
        """As ``on_train_start``."""
        _take_place(trainer)


def _take_place(trainer: Trainer) -> None:
    if trainer.world_size > 1 and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _stop)


def _stop(*_: Any) -> NoReturn:
    raise SystemExit(TERMINATED)


def end_others(trainer: Trainer) -> None:
    """End the processes that this one has started; they would wait for it, or complain."""
    launcher = trainer.strategy.launcher
    if launcher is not None:
        launcher.kill(signal.SIGKILL)
