"""Encoded rows: what a processor makes of a data set, and where batches come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqlab.data.chunks import Chunk
from seqlab.data.ragged import Array, Offsets, Ragged
from seqlab.types import Batch

References = list[list[list[int]]]

#: How a target lies beside its row: one entry, one for each step of the input, or a sequence of
#: a length of its own.
Layout = Literal["row", "steps", "sequence"]
_WIDER = {np.dtype(np.int32): np.int64, np.dtype(np.uint8): np.float32}


@dataclass(frozen=True)
class Example:
    """One encoded row.

    Args:
        inputs: feature name to ids ``[T]`` or values ``[T, D]``.
        target: the encoded target, or None for an input to predict.
        references: every accepted answer as ids, for a target that has them.
    """

    inputs: dict[str, Array]
    target: Array | None = None
    references: list[list[int]] | None = None

    @property
    def length(self) -> int:
        """The number of steps, T."""
        return len(next(iter(self.inputs.values())))


@dataclass(frozen=True)
class EncodedRows:
    """R encoded rows, held compactly.

    Args:
        inputs: feature name to R sequences of the same lengths.
        target: ``[R]`` or ``[R, C]`` for one entry a row, otherwise sequences.
        references: for each row every accepted answer as ids, or None.
        layout: the target's, or None when there is no target.
    """

    inputs: dict[str, Ragged]
    target: Array | Ragged | None = None
    references: References | None = None
    layout: Layout | None = None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def lengths(self) -> Offsets:
        """``[R]``: the steps of each row's input."""
        return next(iter(self.inputs.values())).lengths

    @property
    def order_keys(self) -> Offsets:
        """``[R]``: rows with near keys waste little padding in one batch."""
        if not isinstance(self.target, Ragged):
            return self.lengths
        target = self.target.lengths
        return self.lengths * (int(target.max(initial=0)) + 1) + target

    def digest(self) -> str:
        """The SHA-256 of all rows, as hexadecimal digits."""
        content = hashlib.sha256(json.dumps(self.references).encode())
        parts = [*sorted(self.inputs.items()), ("target", self.target)]
        for name, part in parts:
            arrays = [part.values, part.lengths] if isinstance(part, Ragged) else [part]
            for array in arrays:
                if array is not None:
                    content.update(f"{name} {array.dtype} {array.shape}".encode())
                    content.update(np.ascontiguousarray(array).data)
        return content.hexdigest()

    def example(self, index: int) -> Example:
        """One row as an ``Example``."""
        target = self.target
        if isinstance(target, Ragged):
            target = target.row(index)
        elif target is not None:
            target = np.asarray(target[index])
        return Example(
            {name: ragged.row(index) for name, ragged in self.inputs.items()},
            target,
            None if self.references is None else self.references[index],
        )

    @classmethod
    def concatenate(cls, parts: Sequence[EncodedRows]) -> EncodedRows:
        """All rows of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        inputs = {
            name: Ragged.concatenate([part.inputs[name] for part in parts]) for name in first.inputs
        }
        target: Array | Ragged | None = None
        if isinstance(first.target, Ragged):
            target = Ragged.concatenate([p.target for p in parts if isinstance(p.target, Ragged)])
        elif first.target is not None:
            target = np.concatenate([p.target for p in parts if isinstance(p.target, np.ndarray)])
        references = None
        if first.references is not None:
            references = [row for part in parts for row in part.references or []]
        return cls(inputs, target, references, first.layout)

    @classmethod
    def from_examples(cls, examples: Sequence[Example], layout: Layout) -> EncodedRows:
        """Examples of one processor as rows; ``layout`` is the target's."""
        inputs = {
            name: _stack([example.inputs[name] for example in examples])
            for name in examples[0].inputs
        }
        targets = [example.target for example in examples if example.target is not None]
        if len(targets) < len(examples):
            return cls(inputs)
        target = np.stack(targets) if layout == "row" else _stack(targets)
        references = [e.references for e in examples if e.references is not None]
        complete = len(references) == len(examples)
        return cls(inputs, target, references if complete else None, layout)

    def joined(self, count: int) -> EncodedRows:
        """All rows end to end, as at most ``count`` rows of one length; for targets of steps."""
        target = self.target.joined(count) if isinstance(self.target, Ragged) else self.target
        inputs = {name: ragged.joined(count) for name, ragged in self.inputs.items()}
        return EncodedRows(inputs, target, None, self.layout)

    def chunk(self, chunk: Chunk) -> Batch:
        """A chunk as a batch; for targets of steps."""
        rows, lengths = chunk.rows, self.lengths[chunk.rows]

        def within(first: int, last: int) -> Tensor:
            return torch.from_numpy(np.clip(lengths, first, last) - first)

        inputs = {
            name: _tensor(ragged.pad(rows, chunk.begin, chunk.end))
            for name, ragged in self.inputs.items()
        }
        target = None
        if isinstance(self.target, Ragged):
            target = _tensor(self.target.pad(rows, chunk.first, chunk.last))
        return Batch(
            inputs,
            within(chunk.begin, chunk.end),
            target,
            within(chunk.first, chunk.last),
            starts=chunk.starts,
        )

    def batch(self, rows: Offsets, numbers: npt.NDArray[np.int64] | None = None) -> Batch:
        """The rows at ``rows [B]`` as a batch.

        Args:
            rows: positions in these rows, in the order wanted.
            numbers: what ``Batch.rows`` should hold; by default the positions themselves.
        """
        inputs = {name: _tensor(ragged.pad(rows)) for name, ragged in self.inputs.items()}
        target, target_lengths = None, None
        if isinstance(self.target, Ragged):
            target = _tensor(self.target.pad(rows))
            if self.layout == "sequence":
                target_lengths = torch.from_numpy(self.target.lengths_of(rows))
        elif self.target is not None:
            target = _tensor(self.target[rows])
        references = None
        if self.references is not None:
            references = [self.references[row] for row in rows.tolist()]
        return Batch(
            inputs,
            torch.from_numpy(next(iter(self.inputs.values())).lengths_of(rows)),
            target,
            target_lengths,
            references,
            torch.from_numpy(np.array(rows if numbers is None else numbers, dtype=np.int64)),
        )


def _stack(rows: Sequence[Array]) -> Ragged:
    return Ragged.from_flat(np.concatenate(rows), [len(row) for row in rows])


def _tensor(array: Array) -> Tensor:
    """Ids as int64, flags as float, everything else as it is."""
    if array.dtype in _WIDER:
        array = array.astype(_WIDER[array.dtype])
    return torch.from_numpy(np.ascontiguousarray(array))
