"""Encoded rows: what a processor makes of a data set, and where batches come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqlab.data.chunks import Chunk
from seqlab.data.ragged import Array, Offsets, Ragged
from seqlab.target_names import SOLE
from seqlab.types import Batch, TargetValues

References = list[list[list[int]]]
#: For each row the token of each step of its source, as text.
SourceTokens = list[list[str]]

#: How a target lies beside its row: one entry, one for each step of the input, or a sequence of
#: a length of its own.
Layout = Literal["row", "steps", "sequence"]
_WIDER = {
    np.dtype(np.int32): np.int64,
    np.dtype(np.int16): np.int64,
    np.dtype(np.uint8): np.float32,
}


class Answer(NamedTuple):
    """One target of one row.

    ``value`` is encoded; ``references`` are all accepted answers as ids, of a target that has them;
    ``source_tokens`` are what such an answer may copy, of a target that says so.
    """

    value: Array
    references: list[list[int]] | None = None
    source_tokens: list[str] | None = None


class Accepted(NamedTuple):
    """All accepted answers of each row as ids, and the tokens that an answer may copy."""

    references: References | None = None
    source_tokens: SourceTokens | None = None

    def at(self, rows: Sequence[int]) -> Accepted:
        """Of some rows."""
        references = None if self.references is None else [self.references[row] for row in rows]
        tokens = self.source_tokens
        return Accepted(references, None if tokens is None else [tokens[row] for row in rows])


#: Of a target without references.
NONE_ACCEPTED = Accepted()


@dataclass(frozen=True)
class Example:
    """One encoded row.

    Args:
        inputs: feature name to ids ``[T]`` or values ``[T, D]``.
        targets: each target by its name, a sole one by ``SOLE``; none for an input to predict.
    """

    inputs: dict[str, Array]
    targets: Mapping[str, Answer] = field(default_factory=dict)

    @property
    def target(self) -> Array | None:
        """The sole target, or None."""
        return self.targets[SOLE].value if SOLE in self.targets else None

    @property
    def references(self) -> list[list[int]] | None:
        """Every accepted answer of the sole target, or None."""
        return self.targets[SOLE].references if SOLE in self.targets else None

    @property
    def length(self) -> int:
        """The number of steps, T."""
        return len(next(iter(self.inputs.values())))


@dataclass(frozen=True)
class EncodedTarget:
    """One target of R rows.

    Args:
        values: ``[R]`` or ``[R, C]`` for one entry a row, otherwise sequences.
        layout: how it lies beside the rows' steps.
        accepted: for each row every accepted answer.
    """

    values: Array | Ragged
    layout: Layout
    accepted: Accepted = NONE_ACCEPTED

    @classmethod
    def concatenate(cls, parts: Sequence[EncodedTarget]) -> EncodedTarget:
        """Of all rows of all parts, in order."""
        first = parts[0]
        values: Array | Ragged
        if isinstance(first.values, Ragged):
            values = Ragged.concatenate([p.values for p in parts if isinstance(p.values, Ragged)])
        else:
            values = np.concatenate([p.values for p in parts if isinstance(p.values, np.ndarray)])
        accepted = Accepted(
            _joined([part.accepted.references for part in parts]),
            _joined([part.accepted.source_tokens for part in parts]),
        )
        return cls(values, first.layout, accepted)

    @classmethod
    def from_answers(cls, answers: Sequence[Answer], layout: Layout) -> EncodedTarget:
        """Of rows one by one."""
        values = [answer.value for answer in answers]
        accepted = Accepted(
            _complete([answer.references for answer in answers]),
            _complete([answer.source_tokens for answer in answers]),
        )
        return cls(np.stack(values) if layout == "row" else _stack(values), layout, accepted)

    def answer(self, index: int) -> Answer:
        """Of one row."""
        values = self.values
        found = values.row(index) if isinstance(values, Ragged) else np.asarray(values[index])
        references, tokens = self.accepted
        return Answer(
            found,
            None if references is None else references[index],
            None if tokens is None else tokens[index],
        )

    def joined(self, count: int) -> EncodedTarget:
        """See ``EncodedRows.joined``."""
        values = self.values.joined(count) if isinstance(self.values, Ragged) else self.values
        return EncodedTarget(values, self.layout)

    def batch(self, rows: Offsets) -> TargetValues:
        """Of the rows at ``rows [B]``, padded."""
        accepted = self.accepted.at(rows.tolist())
        if not isinstance(self.values, Ragged):
            return TargetValues(_tensor(self.values[rows]), None, *accepted)
        lengths = None
        if self.layout == "sequence":
            lengths = torch.from_numpy(self.values.lengths_of(rows))
        return TargetValues(_tensor(self.values.pad(rows)), lengths, *accepted)


@dataclass(frozen=True)
class EncodedRows:
    """R encoded rows, held compactly.

    Args:
        inputs: feature name to R sequences of the same lengths.
        targets: each target by its name, a sole one by ``SOLE``; none when predicting.
    """

    inputs: dict[str, Ragged]
    targets: Mapping[str, EncodedTarget] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def lengths(self) -> Offsets:
        """``[R]``: the steps of each row's input."""
        return next(iter(self.inputs.values())).lengths

    @property
    def order_keys(self) -> Offsets:
        """``[R]``: rows with near keys waste little padding in one batch."""
        keys = self.lengths
        for target in self.targets.values():
            if isinstance(target.values, Ragged):
                longest = int(target.values.lengths.max(initial=0))
                keys = keys * (longest + 1) + target.values.lengths
        return keys

    def digest(self) -> str:
        """The SHA-256 of all rows, as hexadecimal digits."""
        content = hashlib.sha256()
        for target in self.targets.values():
            content.update(json.dumps(target.accepted.references).encode())
        parts: list[tuple[str, Array | Ragged]] = [*sorted(self.inputs.items())]
        parts += [(f"target {name}".strip(), part.values) for name, part in self.targets.items()]
        for name, part in parts:
            arrays = [part.values, part.lengths] if isinstance(part, Ragged) else [part]
            for array in arrays:
                content.update(f"{name} {array.dtype} {array.shape}".encode())
                content.update(np.ascontiguousarray(array).data)
        return content.hexdigest()

    def example(self, index: int) -> Example:
        """One row as an ``Example``."""
        return Example(
            {name: ragged.row(index) for name, ragged in self.inputs.items()},
            {name: target.answer(index) for name, target in self.targets.items()},
        )

    @classmethod
    def concatenate(cls, parts: Sequence[EncodedRows]) -> EncodedRows:
        """All rows of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        inputs = {
            name: Ragged.concatenate([part.inputs[name] for part in parts])
            for name in parts[0].inputs
        }
        targets = {
            name: EncodedTarget.concatenate([part.targets[name] for part in parts])
            for name in parts[0].targets
        }
        return cls(inputs, targets)

    @classmethod
    def from_examples(
        cls, examples: Sequence[Example], layouts: Mapping[str, Layout]
    ) -> EncodedRows:
        """Examples of one processor as rows; ``layouts`` are those of the targets."""
        inputs = {
            name: _stack([example.inputs[name] for example in examples])
            for name in examples[0].inputs
        }
        if not all(example.targets for example in examples):
            return cls(inputs)
        targets = {
            name: EncodedTarget.from_answers([e.targets[name] for e in examples], layout)
            for name, layout in layouts.items()
        }
        return cls(inputs, targets)

    def joined(self, count: int) -> EncodedRows:
        """All rows end to end, as at most ``count`` rows of one length; for targets of steps."""
        inputs = {name: ragged.joined(count) for name, ragged in self.inputs.items()}
        return EncodedRows(inputs, {n: part.joined(count) for n, part in self.targets.items()})

    def chunk(self, chunk: Chunk) -> Batch:
        """A chunk as a batch; for targets of steps."""
        rows, lengths = chunk.rows, self.lengths[chunk.rows]

        def within(first: int, last: int) -> Tensor:
            return torch.from_numpy(np.clip(lengths, first, last) - first)

        inputs = {
            name: _tensor(ragged.pad(rows, chunk.begin, chunk.end))
            for name, ragged in self.inputs.items()
        }
        targets = {
            name: TargetValues(
                _tensor(part.values.pad(rows, chunk.first, chunk.last)),
                within(chunk.first, chunk.last),
            )
            for name, part in self.targets.items()
            if isinstance(part.values, Ragged)
        }
        return _batch(Batch(inputs, within(chunk.begin, chunk.end), starts=chunk.starts), targets)

    def batch(self, rows: Offsets, numbers: npt.NDArray[np.int64] | None = None) -> Batch:
        """The rows at ``rows [B]`` as a batch.

        Args:
            rows: positions in these rows, in the order wanted.
            numbers: what ``Batch.rows`` should hold; by default the positions themselves.
        """
        inputs = {name: _tensor(ragged.pad(rows)) for name, ragged in self.inputs.items()}
        lengths = torch.from_numpy(next(iter(self.inputs.values())).lengths_of(rows))
        places = torch.from_numpy(np.array(rows if numbers is None else numbers, dtype=np.int64))
        targets = {name: target.batch(rows) for name, target in self.targets.items()}
        return _batch(Batch(inputs, lengths, rows=places), targets)


def _batch(inputs: Batch, targets: Mapping[str, TargetValues]) -> Batch:
    """A batch with its targets: a sole one is ``Batch.target``."""
    if SOLE in targets:
        return replace(inputs, **targets[SOLE]._asdict())
    return replace(inputs, targets=dict(targets))


def _joined(parts: Sequence[list[Any] | None]) -> list[Any] | None:
    """All rows of all parts, or None where the first part has none."""
    return None if parts[0] is None else [row for part in parts for row in part or []]


def _complete(rows: Sequence[Any]) -> list[Any] | None:
    """What every row has, or None."""
    return None if any(row is None for row in rows) else list(rows)


def _stack(rows: Sequence[Array]) -> Ragged:
    return Ragged.from_flat(np.concatenate(rows), [len(row) for row in rows])


def _tensor(array: Array) -> Tensor:
    """Ids as int64, flags as float, everything else as it is."""
    if array.dtype in _WIDER:
        array = array.astype(_WIDER[array.dtype])
    return torch.from_numpy(np.ascontiguousarray(array))
