"""Which rows make a batch, and which batch comes when: by split, seed and epoch alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seqlab.data.chunks import Chunk, Cutting
from seqlab.data.data_spec import DataSpec
from seqlab.data.encoded import EncodedRows
from seqlab.data.order import Indices, evaluation_batches, training_batches


def batch_size(spec: DataSpec, split: str) -> int:
    """Rows of a batch of a split."""
    if split == "train":
        return spec.batch_size
    one = spec.chunks is not None and spec.chunks.continuous
    return spec.eval_batch_size or (1 if one else spec.batch_size)


def batch_order(
    spec: DataSpec,
    split: str,
    rows: EncodedRows,
    *,
    seed: int,
    epoch: int,
    cutting: Cutting | None = None,
    joined: bool = False,
) -> Sequence[Indices | Chunk]:
    """The batches of one pass over rows in memory.

    Args:
        spec: of the data.
        split: ``train`` is shuffled, the others are not.
        rows: those of the split.
        seed: the run's.
        epoch: which pass, from 0.
        cutting: how rows are cut into chunks, if they are.
        joined: whether the rows are already one batch that goes on and on.
    """
    if cutting is None:
        return _batches(spec, split, rows.order_keys, seed, epoch)
    if joined:
        batches = [np.arange(len(rows))]
    else:
        # the same rows together in each epoch, so that each has as many chunks
        batches = _batches(spec, split, rows.order_keys, seed, 0)
        if split == "train":
            places = np.random.default_rng([seed, epoch]).permutation(len(batches))
            batches = [batches[place] for place in places]
    return cutting.chunks(batches, rows.lengths)


def _batches(spec: DataSpec, split: str, keys: Indices, seed: int, epoch: int) -> list[Indices]:
    size = batch_size(spec, split)
    if split == "train":
        return training_batches(keys, size, bucket=spec.bucket, seed=seed, epoch=epoch)
    return evaluation_batches(keys, size, bucket=spec.bucket)
