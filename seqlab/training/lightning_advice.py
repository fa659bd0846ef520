"""Advice of Lightning's that does not apply here, left out."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

#: Lightning's advice that does not apply here, by the beginning of its text.
_NOISE = (
    # our loaders know their position from the step count
    r"You're resuming from a checkpoint that ended before the epoch ended",
    # the data module decides on its worker processes
    r"The '\w+' does not have many workers",
    # the accelerator is what the config says
    r"GPU available but not used",
    r"MPS available but not used",
    # rows are written by the Recorder, at intervals of its own
    r"The number of training batches \(\d+\) is smaller than the logging interval",
    # the run folder is checked before training
    r"Checkpoint directory .* exists and is not empty",
    # a share of the validation rows may be empty in one of several processes
    r"The ``compute`` method of metric \w+ was called before the ``update`` method",
    r"Total length of `\w+` across ranks is zero",
    # every process counts each row of its own share once
    r"Using `\w+` with the `\w+Strategy`",
    r"It is recommended to use .*sync_dist=True",
    # a run without validation rows is announced in our own words
    r"You defined a `validation_step` but have no `val_dataloader`",
    # from inside Lightning, on newer torch
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leave out the advice that does not apply here; every other warning passes."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in _NOISE:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
