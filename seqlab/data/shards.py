"""The shards of a stream: some of its rows are read without opening the files of the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Shards:
    """Rows of a ``datasets.IterableDataset``, which knows its shards: files, as a rule.

    The size of a shard is known once it was read to its end.

    >>> import datasets
    >>> def numbers(shards):
    ...     for shard in shards:
    ...         yield from ({"x": 10 * shard + place} for place in range(3))
    >>> data = datasets.IterableDataset.from_generator(numbers, gen_kwargs={"shards": [0, 1]})
    >>> rows = Shards(data, apart=True)
    >>> rows.count, [(place, row["x"]) for place, row in rows.between(2, 5)]
    (2, [(2, 2), (3, 10), (4, 11)])

    Args:
        data: the stream; what has no ``num_shards`` is one shard.
        apart: use its shards; else the whole is one.
    """

    def __init__(self, data: Any, *, apart: bool) -> None:
        self._data = data
        self.count = max(1, getattr(data, "num_shards", 1)) if apart else 1
        self._sizes: dict[int, int] = {}

    def between(self, first: int, last: int | None) -> Iterator[tuple[int, dict[str, Any]]]:
        """Rows and their places in the whole, from ``first`` to before ``last``, or to the end.

        Shards that are known to be empty or to end before ``first`` are not opened.
        """
        start = 0
        for number in range(self.count):
            if last is not None and start >= last:
                return
            size = self._sizes.get(number)
            if size is None or (size and start + size > first):
                place = start
                for row in self._shard(number):
                    if place >= first:
                        yield place, row
                    place += 1
                    if place == last:
                        return
                size = self._sizes[number] = place - start
            start += size

    def _shard(self, number: int) -> Any:
        return self._data if self.count == 1 else self._data.shard(self.count, number)


def share_of(total: int, rank: int, world_size: int) -> tuple[int, int]:
    """Where the rows of one of several processes begin and end: sizes differ by one at most.

    >>> [share_of(10, rank, 3) for rank in range(3)]
    [(0, 3), (3, 6), (6, 10)]
    """
    return total * rank // world_size, total * (rank + 1) // world_size
