"""The batches a trainer asks for, in an order that depends on (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor

from seqlab.data.module import DataModule
from seqlab.errors import ConfigError, DataError
from seqlab.types import Batch

#: (epoch, batches of it already trained on)
Position = tuple[int, int]
#: (rank, number of processes)
Share = tuple[int, int]


class TrainBatches:
    """A process's training batches, from the trainer's position on.

    Args:
        data: where the batches come from.
        position: asked at the start of each pass.
        share: (rank, number of processes), asked at the start of each pass.
        overfit: train on the first so many batches of epoch 0, again and again; 0: on all.
        weights: ``[R]``, how often each row counts in the loss; None: once.
    """

    def __init__(
        self,
        data: DataModule,
        position: Callable[[], Position],
        share: Callable[[], Share],
        *,
        overfit: int = 0,
        weights: Tensor | None = None,
    ) -> None:
        self.data, self.position, self.share = data, position, share
        self.overfit, self.weights = overfit, weights

    def __iter__(self) -> Iterator[Batch]:
        # asked now, not at the first batch: the trainer's counters move on in between
        epoch, start = self.position()
        rank, world = self.share()
        if self.overfit:
            epoch = 0
        loader = self.data.loader(
            "train", epoch=epoch, start_batch=start, rank=rank, world_size=world
        )
        batches = iter(loader) if self.weights is None else map(self._weighted, loader)
        return islice(batches, max(0, self.overfit - start)) if self.overfit else batches

    def _weighted(self, batch: Batch) -> Batch:
        if self.weights is None or batch.rows is None:
            raise ConfigError("data.chunks: rows that are cut cannot have weights; leave it out")
        return replace(batch, weights=self.weights[batch.rows])

    def __len__(self) -> int:
        total = self.data.steps("train", world_size=self.share()[1])
        return min(total, self.overfit) if self.overfit else total


class EvaluationBatches:
    """A process's share of a split's batches; no batch belongs to two processes.

    Args:
        data: where the batches come from.
        split: which split.
        share: (rank, number of processes), asked at the start of each pass.
        limit: only the first so many batches of each process; 0: all.
    """

    def __init__(
        self, data: DataModule, split: str, share: Callable[[], Share], *, limit: int = 0
    ) -> None:
        self.data, self.split, self.share, self.limit = data, split, share, limit

    def __iter__(self) -> Iterator[Batch]:
        rank, world = self.share()
        loader = self.data.loader(self.split, rank=rank, world_size=world)
        return islice(iter(loader), self.limit or None)

    def __len__(self) -> int:
        rank, world = self.share()
        total = (
            self.data.steps("train", world_size=world)
            if self.split == "train"
            else len(range(rank, self.data.steps(self.split), world))
        )
        return min(total, self.limit) if self.limit else total


class RunData:
    """The loaders of a run.

    Args:
        data: where batches come from.
        trainer: whose position, rank and number of processes count.
        overfit: train and validate on the first so many training batches; 0: on all.
        weights: the column of the training rows with their weights in the loss; None: none.

    Raises:
        DataError: a process would have no batch to validate or to test on.
        ConfigError: several processes are to share rows in chunks, or shards of rows in memory.
    """

    def __init__(
        self, data: DataModule, trainer: Trainer, *, overfit: int = 0, weights: str | None = None
    ) -> None:
        self.data, self.trainer, self.overfit = data, trainer, overfit
        self.weights = None if weights is None else _column(data, weights)
        if data.spec.chunks is not None and trainer.world_size > 1:
            raise ConfigError(
                f"data.chunks: the state goes from batch to batch, and {trainer.world_size} "
                "processes take turns with them; use trainer.devices=1"
            )
        if data.spec.shards and not data.is_stream("train"):
            raise ConfigError(
                "data.shards: the training rows are in memory, and have no shards; add "
                "source.streaming=true, or leave it out"
            )
        if not data.steps("train", world_size=trainer.world_size):
            raise DataError(
                f"the training rows make no batch for each of {trainer.world_size} processes; "
                "make data.batch_size smaller, or trainer.devices"
            )
        for split in ("validation", "test"):
            if split in data.splits and data.steps(split) < trainer.world_size:
                raise DataError(
                    f"the {split} rows make {data.steps(split)} batches for {trainer.world_size} "
                    "processes; make data.eval_batch_size smaller, or trainer.devices"
                )

    def _position(self) -> Position:
        loop = self.trainer.fit_loop
        return self.trainer.current_epoch, loop.epoch_loop.batch_progress.current.completed

    def _share(self) -> Share:
        return self.trainer.global_rank, self.trainer.world_size

    def train(self) -> TrainBatches:
        """Batches from the trainer's position."""
        return TrainBatches(
            self.data, self._position, self._share, overfit=self.overfit, weights=self.weights
        )

    def validation(self) -> EvaluationBatches | None:
        """The validation batches, or the training batches of an overfitted run."""
        if self.overfit:
            return EvaluationBatches(self.data, "train", self._share, limit=self.overfit)
        return self._evaluation("validation")

    def test(self) -> EvaluationBatches | None:
        """The test batches."""
        return self._evaluation("test")

    def check_limits(self, options: Mapping[str, Any]) -> None:
        """Refuse limits that leave no batch, and validation later than an epoch's end.

        Args:
            options: the config's ``trainer``.

        Raises:
            ConfigError: the key, and how many batches there are.
        """
        loaders = {"train": self.train(), "val": self.validation(), "test": self.test()}
        for name, loader in loaders.items():
            key = f"limit_{name}_batches"
            share = options.get(key)
            if isinstance(share, float) and loader and 0 < share * len(loader) < 1:
                raise ConfigError(
                    f"trainer.{key}: {share:g} of {len(loader)} batches is less than one"
                )
        every, there = options.get("val_check_interval"), len(loaders["train"] or ())
        if isinstance(every, int) and every > there:
            raise ConfigError(
                f"trainer.val_check_interval: expected at most {there}, the batches of an epoch, "
                f"got {every}"
            )

    def _evaluation(self, split: str) -> EvaluationBatches | None:
        return (
            EvaluationBatches(self.data, split, self._share) if split in self.data.splits else None
        )


def _column(data: DataModule, name: str) -> Tensor:
    """``[R]``: a column of numbers of the training rows."""
    found = [value for columns, _ in data.rows("train").chunks([name]) for value in columns[name]]
    return torch.tensor(found, dtype=torch.float64)
