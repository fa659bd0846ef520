"""The data module: a source's rows as batches, in an order that can be told beforehand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from seqlab import progress
from seqlab.collector import rare_collections
from seqlab.data.batch_order import batch_order, batch_size
from seqlab.data.chunks import Chunk, Cutting
from seqlab.data.data_spec import DataSpec
from seqlab.data.encoded import EncodedRows
from seqlab.data.encoding import (
    columns_to_encode,
    counted,
    encode_rows,
    raw_length,
    read_columns,
)
from seqlab.data.known_vocabularies import KnownVocabularies
from seqlab.data.loaders import BatchesFromStream, BatchesInMemory, BatchLoader
from seqlab.data.order import Indices
from seqlab.data.processor import Processor, column_of, fit_columns
from seqlab.data.row_views import View
from seqlab.data.sources.base import Source
from seqlab.data.split_views import open_views
from seqlab.data.stream_view import StreamView
from seqlab.errors import ConfigError, DataError, did_you_mean
from seqlab.schema import Whole, check_value
from seqlab.types import Batch, DataInfo, Reading


class DataModule:
    """Batches of the rows of a source.

    Args:
        source: where the rows come from.
        data_spec: the config's ``data`` part, or a ``DataSpec``.
        seed: the run's seed; with the epoch it decides the training order.
        processor: a fitted one, for evaluation; by default one is fitted on the training rows.
        known: vocabularies that the fitted ones go on from.

    Example:
        >>> import datasets, seqlab
        >>> class Doubled(seqlab.Source):
        ...     def load(self):
        ...         rows = {"word": list("abcdef"), "twice": ["aa", "bb", "cc", "dd", "ee", "ff"]}
        ...         return datasets.DatasetDict(train=datasets.Dataset.from_dict(rows))
        ...     def describe(self):
        ...         return {"name": "doubled letters"}
        >>> spec = {"features": {"text": {"column": "word", "tokenizer": "chars"}},
        ...         "target": {"column": "twice", "kind": "text"}, "batch_size": 4}
        >>> data = DataModule(Doubled(), spec, seed=0)
        >>> data.prepare(["train"])
        >>> [batch.size for batch in data.loader("train", epoch=3)]
        [4, 2]
    """

    def __init__(
        self,
        source: Source,
        data_spec: Mapping[str, Any] | DataSpec,
        seed: int,
        processor: Processor | None = None,
        known: KnownVocabularies | None = None,
    ) -> None:
        check_value(seed, Whole, "seed")
        self.source = source
        self.spec = DataSpec.from_mapping(data_spec)
        if processor is not None:
            fitted = processor.spec
            self.spec = dataclasses.replace(
                self.spec,
                features=fitted.features,
                targets=fitted.targets,
                transforms=fitted.transforms,
            )
        self.seed = seed
        self._processor, self._known = processor, known
        self._views: dict[str, View] = {}
        self._encoded: dict[str, EncodedRows] = {}
        self._joined: dict[str, EncodedRows] = {}
        self._cuttings: dict[str, Cutting] = {}

    def prepare(self, splits: Sequence[str] | None = None) -> None:
        """Load, check every row, fit the processor, encode; a second call does nothing.

        Args:
            splits: those that will be used; by default all that the source has.

        Raises:
            DataError: a split or column is missing, a split is empty, or a row is not as
                described; file and row are named.
        """
        if self._views:
            return
        with rare_collections():
            self._prepare(splits)

    def _prepare(self, splits: Sequence[str] | None) -> None:
        wanted = None if splits is None else set(splits)
        if self._processor is None and wanted is not None:
            wanted.add("train")
        fit = self._processor is None
        transforms = self._processor.transforms if self._processor else self.spec.new_transforms()
        with progress.stage("reading"):
            views = open_views(self.source, self.spec, wanted, transforms, fit=fit)
        if self._processor is None:
            if "train" not in views:
                raise DataError("the source has no split 'train' to learn from")
            # which classes there are is no secret of the rows that were held out or left out
            train, whole = views["train"], views["train"].whole()
            self._processor = fit_columns(
                self.spec,
                partial(read_columns, train),
                partial(column_of, partial(read_columns, whole)),
                transforms,
                together=isinstance(train, StreamView),
                known=self._known,
            )
        for split, view in views.items():
            self._check_and_keep(split, view, self._processor)
        self._views = views

    @property
    def processor(self) -> Processor:
        """The fitted processor."""
        self.prepare()
        if self._processor is None:
            raise DataError("the processor is not fitted")
        return self._processor

    @property
    def info(self) -> DataInfo:
        """All that a model needs to know of the data."""
        return self.processor.info

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits there are, in the order train, validation, test."""
        self.prepare()
        return tuple(self._views)

    @property
    def sizes(self) -> dict[str, int]:
        """Split to number of rows."""
        self.prepare()
        return {split: len(view) for split, view in self._views.items()}

    def digests(self) -> dict[str, dict[str, Any]]:
        """For each split its rows and a digest of them: encoded, or of a stream the source's."""
        source = self.source.describe().get("digest")
        return {
            split: {
                "rows": rows,
                "digest": self._encoded[split].digest() if split in self._encoded else source,
            }
            for split, rows in self.sizes.items()
        }

    @property
    def steps_per_epoch(self) -> int:
        """Training batches in an epoch."""
        return self.steps("train")

    def steps(self, split: str, *, world_size: int = 1) -> int:
        """Batches in one pass over a split, for one of ``world_size`` processes.

        With several processes a training pass leaves out the last few batches where they do
        not go round; otherwise the first process has the most. With ``data.shards`` each trains
        on as many batches as its rows make, of the process that has the fewest.
        """
        if self._apart(split, world_size):
            return -(-(len(self._view(split)) // world_size) // batch_size(self.spec, split))
        batches = self._count(split)
        return batches // world_size if split == "train" else -(-batches // world_size)

    def rows(self, split: str) -> View:
        """The raw rows of a split; ``rows(split)[n]`` is the one that ``Batch.rows`` calls n."""
        return self._view(split)

    def id_counts(self, split: str, feature: str) -> Any:
        """How often each id of a feature is there in the rows of a split; None for a stream."""
        rows = self._encoded.get(split)
        return None if rows is None else np.bincount(rows.inputs[feature].values)

    def check_batches(self, refusal: Callable[[Batch], tuple[int, str] | None]) -> None:
        """Hold all rows in memory against what a head cannot learn from (``Head.refusal``).

        Raises:
            DataError: says where the row stands, and why.
        """
        for split in self._encoded:
            for batch in self.loader(split):
                if (found := refusal(batch)) is not None and batch.rows is not None:
                    place = self._view(split).where(int(batch.rows[found[0]]))
                    raise DataError(f"{place}: {found[1]}")

    def loader(
        self,
        split: str,
        *,
        epoch: int = 0,
        start_batch: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> BatchLoader:
        """The batches of one pass over a split.

        Args:
            split: ``train`` is shuffled, by the seed and the epoch alone; the others are not.
            epoch: which pass over the training rows, from 0.
            start_batch: batches to leave out at the beginning (of this process), unread.
            rank: which of several processes asks, from 0.
            world_size: how many there are; they take turns, or with ``data.shards`` each has
                training rows of its own.

        Raises:
            DataError: there is no such split.
        """
        view, batches = self._view(split), self._count(split)
        mine, share = range(rank, batches, world_size), (0, 1)
        if self._apart(split, world_size):
            mine, share = range(self.steps(split, world_size=world_size)), (rank, world_size)
        elif split == "train":
            mine = mine[: batches // world_size]
        mine = mine[start_batch:]
        if isinstance(view, StreamView):
            dataset: Dataset[Batch] = self._stream(split, view, epoch, mine, share)
            sampler, workers = None, min(1, self.spec.num_workers)
        else:
            dataset = BatchesInMemory(self._rows(split))
            order = self._order(split, epoch)
            sampler, workers = [order[place] for place in mine], self.spec.num_workers
        return BatchLoader(
            dataset,
            len(mine),
            sampler=sampler,
            num_workers=workers,
            pin_memory=self.spec.pin_memory,
        )

    def is_stream(self, split: str) -> bool:
        """Whether the rows of a split are read anew on each pass."""
        return isinstance(self._view(split), StreamView)

    def _apart(self, split: str, world_size: int) -> bool:
        """Whether each process reads rows of its own."""
        return self.spec.shards and world_size > 1 and split == "train" and self.is_stream(split)

    def _view(self, split: str) -> View:
        self.prepare()
        if split not in self._views:
            raise DataError(f"no split '{split}' is loaded: {did_you_mean(split, self._views)}")
        return self._views[split]

    def read_in_chunks(self, reading: Reading) -> None:
        """From now on give the chunks that ``data.chunks`` asks for, as a model reads them.

        Raises:
            ConfigError: the data cannot be cut: rows are a stream, or their target is no sequence
                of steps.
        """
        chunks, targets = self.spec.chunks, self.processor.targets
        if chunks is None:
            return
        if any(target.layout != "steps" for target in targets.values()):
            raise ConfigError(
                "data.chunks: the target belongs to whole rows; chunks need one with an entry for "
                "each step, such as tags or inputs"
            )
        overlap = max(target.overlap for target in targets.values())
        if any(target.overlap != overlap for target in targets.values()):
            raise ConfigError(
                "data.chunks: inputs as one target among others cannot be cut; leave chunks out"
            )
        for split, view in self._views.items():
            if isinstance(view, StreamView):
                raise ConfigError("data.chunks: rows that are a stream cannot be cut; leave it out")
            cut = split == "train" or reading.measures
            if cut or chunks.continuous:
                self._cuttings[split] = Cutting(
                    chunks.length if cut else None, reading.reads, overlap
                )
                if chunks.continuous:
                    self._joined[split] = self._encoded[split].joined(batch_size(self.spec, split))

    def _rows(self, split: str) -> EncodedRows:
        return self._joined.get(split, self._encoded[split])

    def _count(self, split: str) -> int:
        """The batches of all processes in one pass."""
        view = self._view(split)
        if split in self._cuttings:
            return len(self._order(split, 0))
        return -(-len(view) // batch_size(self.spec, split))

    def _check_and_keep(self, split: str, view: View, processor: Processor) -> None:
        """Encode every row, which checks it; keep the result unless the view is a stream.

        Training rows of a stream are checked as they pass, and so are others where a pass is not
        needed to count them.
        """
        stream = isinstance(view, StreamView)
        if stream and (split == "train" or view.known_length is not None):
            return
        columns = columns_to_encode(processor, split, view[0])
        name = f"{'checking' if stream else 'encoding'} {split}"
        chunks = (processor.encode_columns(*chunk) for chunk in counted(name, view, columns))
        if stream:
            for _ in chunks:
                pass
        else:
            self._encoded[split] = EncodedRows.concatenate(list(chunks))

    def _order(self, split: str, epoch: int) -> Sequence[Indices | Chunk]:
        return batch_order(
            self.spec,
            split,
            self._rows(split),
            seed=self.seed,
            epoch=epoch,
            cutting=self._cuttings.get(split),
            joined=split in self._joined,
        )

    def _stream(
        self, split: str, view: StreamView, epoch: int, mine: range, share: tuple[int, int]
    ) -> BatchesFromStream:
        first = next(iter(self.spec.features.values())).column
        rank, world_size = share
        order = [self.seed, epoch] if world_size == 1 else [self.seed, epoch, rank]
        return BatchesFromStream(
            view.numbered if world_size == 1 else partial(view.share, rank, world_size),
            partial(encode_rows, self.processor, split, view.where),
            length_of=partial(raw_length, first) if self.spec.bucket else None,
            batch_size=batch_size(self.spec, split),
            random=partial(np.random.default_rng, order) if split == "train" else None,
            buffer=self.spec.shuffle_buffer,
            batches=mine,
        )
