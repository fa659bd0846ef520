"""The batches a trainer asks for, in an order that depends on (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

from pytorch_lightning import Trainer

from seqlab.types import Batch

#: (epoch, batches of it already trained on)
Position = tuple[int, int]


#: (rank, number of processes)
Share = tuple[int, int]


def alone() -> Share:
    """The share of the only process."""
    return 0, 1


class BatchSource(Protocol):
    """What is needed of ``seqlab.data.DataModule``."""

    def loader(self, split: str, *, epoch: int = 0, start_batch: int = 0) -> Any:
        """Batches of a split."""


class TrainBatches:
    """Training batches from the trainer's position, shared out among processes.

    Each process takes one batch of every group of ``world``; an incomplete group at the end of
    an epoch is left out, so that all take the same number.

    Args:
        data: where the batches come from.
        position: asked at the start of each pass.
        share: (rank, world) of this process.
        overfit: train on the first so many batches of epoch 0, again and again; 0: on all.
    """

    def __init__(
        self,
        data: BatchSource,
        position: Callable[[], Position],
        share: Callable[[], Share] = alone,
        *,
        overfit: int = 0,
    ) -> None:
        self.data, self.position, self.share = data, position, share
        self.overfit = overfit

    def __iter__(self) -> Iterator[Batch]:
        # asked now, not at the first batch: the trainer's counters move on in between
        epoch, start = self.position()
        rank, world = self.share()
        return self._batches(0 if self.overfit else epoch, start, rank, world)

    def _batches(self, epoch: int, start: int, rank: int, world: int) -> Iterator[Batch]:
        loader = self.data.loader("train", epoch=epoch, start_batch=start * world)
        batches = iter(loader)
        if self.overfit:
            batches = islice(batches, max(0, self.overfit - start) * world)
        if world == 1:
            yield from batches
            return
        while len(group := list(islice(batches, world))) == world:
            yield group[rank]


class SizedTrainBatches(TrainBatches):
    """Training batches whose number is known, as it is unless the data streams."""

    def __len__(self) -> int:
        _, world = self.share()
        total = len(self.data.loader("train")) // world
        return min(total, self.overfit) if self.overfit else total


class EvaluationBatches:
    """Each process's share of a split's batches: every ``world``-th, none twice.

    Args:
        data: where the batches come from.
        split: which split.
        share: (rank, world) of this process.
        limit: only the first so many batches of the split; 0: all.
    """

    def __init__(
        self, data: BatchSource, split: str, share: Callable[[], Share] = alone, *, limit: int = 0
    ) -> None:
        self.data, self.split, self.share, self.limit = data, split, share, limit

    def __iter__(self) -> Iterator[Batch]:
        rank, world = self.share()
        return islice(iter(self.data.loader(self.split)), rank, self.limit or None, world)


class SizedEvaluationBatches(EvaluationBatches):
    """A share whose number of batches is known."""

    def __len__(self) -> int:
        rank, world = self.share()
        total = len(self.data.loader(self.split))
        return len(range(rank, min(total, self.limit) if self.limit else total, world))


class RunData:
    """The loaders of a run.

    Args:
        data: where batches come from.
        splits: the splits that exist.
        trainer: whose position, rank and number of processes count.
        overfit: train and validate on the first so many training batches; 0: on all.
    """

    def __init__(
        self, data: BatchSource, splits: Sequence[str], trainer: Trainer, *, overfit: int = 0
    ) -> None:
        self.data, self.splits, self.trainer, self.overfit = data, splits, trainer, overfit

    def _position(self) -> Position:
        loop = self.trainer.fit_loop
        return self.trainer.current_epoch, loop.epoch_loop.batch_progress.current.completed

    def _share(self) -> Share:
        return self.trainer.global_rank, self.trainer.world_size

    def train(self) -> TrainBatches:
        """Batches from the trainer's position."""
        kind = SizedTrainBatches if self._sized("train") else TrainBatches
        return kind(self.data, self._position, self._share, overfit=self.overfit)

    def validation(self) -> EvaluationBatches | None:
        """The validation batches, or the training batches of an overfitted run."""
        if self.overfit:
            return self._evaluation("train", self.overfit)
        return self._evaluation("validation") if "validation" in self.splits else None

    def test(self) -> EvaluationBatches | None:
        """The test batches."""
        return self._evaluation("test") if "test" in self.splits else None

    def _evaluation(self, split: str, limit: int = 0) -> EvaluationBatches:
        kind = SizedEvaluationBatches if self._sized(split) else EvaluationBatches
        return kind(self.data, split, self._share, limit=limit)

    def _sized(self, split: str) -> bool:
        return hasattr(self.data.loader(split), "__len__")
