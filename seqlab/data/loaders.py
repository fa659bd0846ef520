"""Batches by torch's DataLoader, from rows in memory or from a stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from seqlab.data.chunks import Chunk
from seqlab.data.encoded import EncodedRows
from seqlab.data.order import WINDOW_BATCHES, Indices
from seqlab.errors import SeqlabError
from seqlab.types import Batch

T = TypeVar("T")


class BatchLoader:
    """The batches of one pass over a split; each iteration begins again.

    Worker processes send batches as arrays, through their pipe. Torch would share the memory of
    each tensor, which takes a file handle a tensor and room in ``/dev/shm``; where one of these
    runs out, its worker drops the batch, and it is waited for without end.

    Args:
        dataset: a torch data set that yields whole batches.
        length: how many batches there are.
        sampler: what to ask a map-style data set for, in order.
        num_workers: processes that prepare batches.
        pin_memory: page-locked batches.
    """

    def __init__(
        self,
        dataset: Dataset[Batch],
        length: int,
        *,
        sampler: Sequence[Indices | Chunk] | None = None,
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        self._length = length
        self._sent = num_workers > 0
        self._pin = pin_memory and torch.cuda.is_available()
        self._loader: DataLoader[Batch] = DataLoader(
            dataset,
            batch_size=None,
            sampler=sampler,
            # one item, not a list, without batch_size
            collate_fn=_arrays if num_workers else _same,  # type: ignore[arg-type]
            num_workers=num_workers,
            worker_init_fn=_settle if num_workers else None,
            # a generator of its own: an iteration must not draw from the global one
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[Batch]:
        try:
            for batch in self._loader:
                whole = batch.apply(torch.from_numpy) if self._sent else batch
                yield whole.pin_memory() if self._pin else whole
        except SeqlabError as error:
            # torch puts the traceback of a worker process before the message
            _, found, message = str(error).rpartition(f"{type(error).__name__}: ")
            if not (self._sent and found):
                raise
            raise type(error)(message.rstrip()) from error

    def __len__(self) -> int:
        return self._length


def _same(batch: Batch) -> Batch:
    return batch


def _arrays(batch: Batch) -> Batch:
    return batch.apply(Tensor.numpy)  # type: ignore[arg-type]  # arrays, for the way only


def _settle(_worker: int) -> None:
    """In a worker process: one thread, as torch does; tokenizers would warn otherwise."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


class BatchesInMemory(Dataset[Batch]):
    """Encoded rows; an item is the batch of the rows, or of the chunk, asked for."""

    def __init__(self, rows: EncodedRows) -> None:
        self._rows = rows

    def __getitem__(self, asked: Indices | Chunk) -> Batch:
        return self._rows.chunk(asked) if isinstance(asked, Chunk) else self._rows.batch(asked)


class BatchesFromStream(IterableDataset[Batch]):
    """Batches encoded as the rows of a stream arrive.

    Args:
        rows: begins the stream: numbered rows, in order.
        encode: encodes numbered rows.
        length_of: the raw length of a row, for bucketing, or None to keep the order.
        batch_size: rows in a batch.
        random: makes the generator that shuffles, or None for evaluation.
        buffer: rows held back to shuffle.
        batches: the numbers of the batches to keep.
    """

    def __init__(
        self,
        rows: Callable[[], Iterator[tuple[int, dict[str, Any]]]],
        encode: Callable[[Sequence[tuple[int, dict[str, Any]]]], EncodedRows],
        *,
        length_of: Callable[[dict[str, Any]], int] | None,
        batch_size: int,
        random: Callable[[], np.random.Generator] | None,
        buffer: int,
        batches: range,
    ) -> None:
        self._rows = rows
        self._encode = encode
        self._length_of = length_of
        self._batch_size = batch_size
        self._random = random
        self._buffer = buffer
        self._kept = batches

    def __iter__(self) -> Iterator[Batch]:
        for part in islice(self._batches(), self._kept.start, self._kept.stop, self._kept.step):
            numbers = np.array([number for number, _ in part], dtype=np.int64)
            yield self._encode(part).batch(np.arange(len(part)), numbers)

    def _batches(self) -> Iterator[list[tuple[int, dict[str, Any]]]]:
        """Raw rows in batches; those left out are never encoded."""
        random = None if self._random is None else self._random()
        rows = self._rows()
        if random is not None:
            rows = shuffled(rows, self._buffer, random)
        while window := list(islice(rows, self._batch_size * WINDOW_BATCHES)):
            if self._length_of is not None:
                lengths = [self._length_of(row) for _, row in window]
                window = [window[place] for place in np.argsort(lengths, kind="stable")]
            size = self._batch_size
            batches = [window[start : start + size] for start in range(0, len(window), size)]
            if random is not None and self._length_of is not None:
                batches = [batches[place] for place in random.permutation(len(batches))]
            yield from batches


def shuffled(rows: Iterator[T], size: int, random: np.random.Generator) -> Iterator[T]:
    """Rows in a random order that never looks further ahead than ``size`` rows.

    >>> order = list(shuffled(iter(range(6)), 3, np.random.default_rng(0)))
    >>> sorted(order), order == list(shuffled(iter(range(6)), 3, np.random.default_rng(0)))
    ([0, 1, 2, 3, 4, 5], True)
    """
    held = list(islice(rows, size))
    places: list[int] = []
    for row in rows:
        if not places:
            places = random.integers(len(held), size=1024).tolist()
        place = places.pop()
        yield held[place]
        held[place] = row
    for place in random.permutation(len(held)):
        yield held[place]
