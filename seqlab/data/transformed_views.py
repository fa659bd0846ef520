"""The rows that transforms make of a split, as a split of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, cast

from seqlab import progress
from seqlab.data.row_views import MemoryView, View
from seqlab.data.sources.tables import to_dataset
from seqlab.data.stream_view import StreamView
from seqlab.data.transforms.base import Row
from seqlab.data.transforms.chain import Chain, stands
from seqlab.errors import DataError, listed


def rows_of(view: View, chain: Chain) -> Iterator[Row]:
    """The rows of a view, with the columns that a chain of transforms needs and that are there."""
    there = next(iter(view), {})
    names = [name for name in chain.needs if name in there]
    number = 0
    for columns, _ in view.chunks(names):
        for values in zip(*columns.values(), strict=True):
            yield Row(dict(zip(columns, values, strict=True)), number)
            number += 1


class TransformedRows:
    """The rows that transforms make of a view, made again on each pass.

    Args:
        view: the rows given.
        chain: the transforms.
        split: the split's name.
    """

    features = None

    def __init__(self, view: View, chain: Chain, split: str) -> None:
        self._view, self._chain, self._split = view, chain, split

    def made(self) -> Iterator[Row]:
        """One pass."""
        return self._chain.apply(rows_of(self._view, self._chain), self._split, self._view.where)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(dict, self.made())

    def locate(self, number: int) -> str:
        """Where the row stands that is made as the n-th; makes them again, for errors only."""
        row = next(islice(self.made(), number, None))
        return stands(row, self._view.where)


def transformed(
    view: View,
    chain: Chain,
    split: str,
    *,
    label: str | None = None,
    whole: Callable[[], View] | None = None,
) -> View:
    """The view of the rows that transforms make.

    Args:
        view: the rows given: in memory or a stream, and so are those made.
        chain: the transforms.
        split: the split's name.
        label: the column with a row's class, or None.
        whole: gives all rows of which the view's were chosen, or None where it has all.

    Raises:
        DataError: a row does not fit, no row is made, or a stream's rows are wanted together.
    """
    if not chain.transforms:
        return view
    rows = TransformedRows(view, chain, split)
    every = None if whole is None else partial(_of_whole, whole, chain, split, label)
    if isinstance(view, StreamView):
        if chain.whole:
            raise DataError(
                f"{chain.keys[chain.whole - 1]}: it looks at all rows of a split together, and the "
                "source is a stream; set source.streaming=false"
            )
        parent = every() if every is not None else None
        return StreamView(rows, rows.locate, label, parent=cast("StreamView | None", parent))
    with progress.stage(f"transforming {split}") as stage:
        made = []
        for row in rows.made():
            made.append(row)
            stage.advance()
    if not made:
        raise DataError(
            f"data.transforms leave no row of the split '{split}', which has {len(view)}"
        )
    locate = partial(_place, [(row.number, row.part) for row in made], view)
    return MemoryView(to_dataset(_columns(made, locate), "data.transforms"), locate, whole=every)


def _of_whole(whole: Callable[[], View], chain: Chain, split: str, label: str | None) -> View:
    return transformed(whole(), chain, split, label=label)


def _place(places: Sequence[tuple[int, str]], view: View, number: int) -> str:
    row, part = places[number]
    return f"{view.where(row)} {part}".strip()


def _columns(rows: Sequence[Row], locate: Callable[[int], str]) -> dict[str, list[Any]]:
    """Rows column by column.

    Raises:
        DataError: a row has other columns than the first.
    """
    names = tuple(rows[0])
    for number, row in enumerate(rows):
        if row.keys() != rows[0].keys():
            raise DataError(
                f"{locate(number)}: data.transforms: a row with the columns {listed(row)}, and "
                f"the first has {listed(names)}"
            )
    return {name: [row[name] for row in rows] for name in names}
