"""Long rows in chunks, which are trained on one after the other with the state carried on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from seqlab.data.order import Indices
from seqlab.types import Reads


class Chunk(NamedTuple):
    """Steps ``begin`` to ``end`` of some rows, and those of their targets.

    ``first`` and ``last`` are of the targets: they go beyond the inputs where a step beside the
    chunk is to be predicted. ``starts`` says whether the rows start here in the order of reading.
    """

    rows: Indices
    begin: int
    end: int
    first: int
    last: int
    starts: bool


@dataclass(frozen=True)
class Cutting:
    """How rows are cut.

    Args:
        length: the most steps of a chunk; None: rows stay whole.
        reads: a model that reads backward begins with a row's last chunk.
        overlap: how many steps beside its own a model of one direction predicts.
    """

    length: int | None
    reads: Reads = "forward"
    overlap: int = 0

    def chunks(self, batches: Sequence[Indices], lengths: Indices) -> list[Chunk]:
        """The chunks of batches of rows, ``lengths [R]`` the steps of all rows.

        >>> import numpy as np
        >>> found = Cutting(2, overlap=1).chunks([np.array([1, 0])], np.array([3, 6]))
        >>> [(chunk.begin, chunk.end, chunk.last, chunk.starts) for chunk in found]
        [(0, 2, 3, True), (2, 4, 5, False), (4, 6, 7, False)]
        """
        return [chunk for rows in batches for chunk in self._of(rows, int(lengths[rows].max()))]

    def _of(self, rows: Indices, longest: int) -> list[Chunk]:
        overlap = 0 if self.reads == "both" else self.overlap
        if self.length is None or longest - overlap <= self.length:
            return [Chunk(rows, 0, longest, 0, longest, starts=True)]
        backward = self.reads == "backward"
        behind, ahead = (overlap, 0) if backward else (0, overlap)
        begins = list(range(behind, longest - ahead, self.length))
        order = begins[::-1] if backward else begins
        return [
            Chunk(
                rows, begin, begin + self.length, begin - behind, begin + self.length + ahead,
                starts=place == 0,
            )
            for place, begin in enumerate(order)
        ]  # fmt: skip
