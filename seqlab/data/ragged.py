"""Rows of different lengths in one flat array, and batches cut from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Offsets = npt.NDArray[np.int64]


def _offsets(lengths: npt.ArrayLike) -> Offsets:
    counts = np.asarray(lengths, dtype=np.int64)
    result = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=result[1:])
    return result


@dataclass(frozen=True)
class Ragged:
    """R sequences end to end: ``values [N]`` or ``[N, D]``; row r is offsets[r]:offsets[r+1].

    >>> ragged = Ragged.from_ids([[3, 4, 5], [], [6]])
    >>> ragged.lengths.tolist(), ragged.pad(np.array([2, 0])).tolist()
    ([3, 0, 1], [[6, 0, 0], [3, 4, 5]])
    """

    values: Array
    offsets: Offsets

    @classmethod
    def from_ids(cls, rows: Sequence[Sequence[int]]) -> Ragged:
        """From lists of ids, kept as int32."""
        offsets = _offsets([len(row) for row in rows])
        flat = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(offsets[-1]))
        return cls(flat, offsets)

    @classmethod
    def from_flat(cls, values: Array, lengths: npt.ArrayLike) -> Ragged:
        """From values end to end and the rows' lengths."""
        return cls(values, _offsets(lengths))

    @classmethod
    def concatenate(cls, parts: Sequence[Ragged]) -> Ragged:
        """All rows of all parts, in order."""
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(np.concatenate([part.values for part in parts]), _offsets(lengths))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Offsets:
        """``[R]`` int64."""
        return np.diff(self.offsets)

    def lengths_of(self, rows: Offsets) -> Offsets:
        """The lengths of some rows, ``[B]``."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def row(self, index: int) -> Array:
        """The values of one row."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def truncate(self, limit: int | None) -> Ragged:
        """Every row cut after ``limit`` values."""
        lengths = self.lengths
        if limit is None or not len(lengths) or int(lengths.max()) <= limit:
            return self
        step = np.arange(len(self.values)) - np.repeat(self.offsets[:-1], lengths)
        return Ragged(self.values[step < limit], _offsets(np.minimum(lengths, limit)))

    def between(self, first: int, last: int) -> Ragged:
        """Every row of ids with one before it and one after it.

        >>> Ragged.from_ids([[3, 4], []]).between(1, 2).values.tolist()
        [1, 3, 4, 2, 1, 2]
        """
        offsets = self.offsets + 2 * np.arange(len(self.offsets))
        values = np.full(len(self.values) + 2 * len(self), first, dtype=self.values.dtype)
        values[np.arange(len(self.values)) + 2 * self._rows() + 1] = self.values
        values[offsets[1:] - 1] = last
        return Ragged(values, offsets)

    def _rows(self) -> Offsets:
        """The row of each value."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def joined(self, count: int) -> Ragged:
        """All values end to end, as at most ``count`` rows of one length; the last is shorter."""
        total = len(self.values)
        size = max(1, -(-total // count))
        return Ragged(self.values, np.minimum(np.arange(-(-total // size) + 1) * size, total))

    def pad(self, rows: Offsets, first: int = 0, last: int | None = None) -> Array:
        """Rows as one array ``[B, T]`` or ``[B, T, D]``, zeros after each row's end.

        Of each row the steps ``first`` to ``last``.
        """
        starts = self.offsets[rows] + first
        lengths = np.clip(self.lengths_of(rows), first, last) - first
        steps = int(lengths.max()) if len(rows) else 0
        time = np.arange(steps)
        if not len(self.values) or not steps:
            return np.zeros((len(rows), steps, *self.values.shape[1:]), dtype=self.values.dtype)
        padded = self.values.take(starts[:, None] + time, axis=0, mode="clip")
        padded[time >= lengths[:, None]] = 0
        return padded
