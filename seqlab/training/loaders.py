"""The batches a trainer asks for, in an order that depends on (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Protocol

from seqlab.types import Batch

#: (epoch, batches of it already trained on)
Position = tuple[int, int]


class BatchSource(Protocol):
    """What is needed of ``seqlab.data.DataModule``."""

    def loader(self, split: str, *, epoch: int = 0, start_batch: int = 0) -> Any:
        """Batches of a split."""


class TrainBatches:
    """Training batches from the position that ``position`` gives, shared out among processes.

    Each process takes one batch of every group of ``world``; an incomplete group at the end of
    an epoch is left out, so that all take the same number.

    Args:
        data: where the batches come from.
        position: called at the start of each pass.
        rank: this process.
        world: how many processes there are.
        overfit: train on the first so many batches of epoch 0, again and again; 0: on all.
    """

    def __init__(
        self,
        data: BatchSource,
        position: Callable[[], Position],
        *,
        rank: int = 0,
        world: int = 1,
        overfit: int = 0,
    ) -> None:
        self.data, self.position = data, position
        self.rank, self.world, self.overfit = rank, world, overfit

    def __iter__(self) -> Iterator[Batch]:
        # asked now, not at the first batch: the trainer's counters move on in between
        epoch, start = self.position()
        return self._share(0 if self.overfit else epoch, start * self.world)

    def _share(self, epoch: int, first: int) -> Iterator[Batch]:
        batches = iter(self.data.loader("train", epoch=epoch, start_batch=first))
        if self.overfit:
            batches = islice(batches, max(0, self.overfit * self.world - first))
        if self.world == 1:
            yield from batches
            return
        while len(group := list(islice(batches, self.world))) == self.world:
            yield group[self.rank]


class SizedTrainBatches(TrainBatches):
    """Training batches whose number is known, as it is unless the data streams."""

    def __len__(self) -> int:
        total = len(self.data.loader("train")) // self.world
        return min(total, self.overfit) if self.overfit else total


class EvaluationBatches:
    """Each process's share of a split's batches: every ``world``-th, none twice.

    Args:
        data: where the batches come from.
        split: which split.
        rank: this process.
        world: how many processes there are.
        limit: only the first so many batches of the split; 0: all.
    """

    def __init__(
        self, data: BatchSource, split: str, *, rank: int = 0, world: int = 1, limit: int = 0
    ) -> None:
        self.data, self.split = data, split
        self.rank, self.world, self.limit = rank, world, limit

    def __iter__(self) -> Iterator[Batch]:
        loader = self.data.loader(self.split)
        yield from islice(loader, self.rank, self.limit or None, self.world)


class SizedEvaluationBatches(EvaluationBatches):
    """A share whose number of batches is known."""

    def __len__(self) -> int:
        total = len(self.data.loader(self.split))
        total = min(total, self.limit) if self.limit else total
        return len(range(self.rank, total, self.world))


def train_batches(
    data: BatchSource, position: Callable[[], Position], **options: int
) -> TrainBatches:
    """Training batches, sized where the data is."""
    sized = hasattr(data.loader("train"), "__len__")
    return (SizedTrainBatches if sized else TrainBatches)(data, position, **options)


def evaluation_batches(data: BatchSource, split: str, **options: int) -> EvaluationBatches:
    """The batches of a split, sized where the data is."""
    sized = hasattr(data.loader(split), "__len__")
    return (SizedEvaluationBatches if sized else EvaluationBatches)(data, split, **options)
