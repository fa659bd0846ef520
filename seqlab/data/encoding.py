"""Columns of a view on their way to a processor: which ones, in one pass, or row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seqlab import progress
from seqlab.data.encoded import EncodedRows
from seqlab.data.processor import Processor
from seqlab.data.raw_columns import Where
from seqlab.data.row_views import Columns, NumberedRow, View, value_of


def counted(name: str, view: View, columns: Sequence[str]) -> Iterator[tuple[Columns, Where]]:
    """One pass over columns, shown as a stage of work."""
    with progress.stage(name, view.known_length) as stage:
        for chunk in view.chunks(columns):
            yield chunk
            stage.advance(len(chunk[0][columns[0]]))


def read_columns(view: View, columns: Sequence[str]) -> Iterator[tuple[Columns, Where]]:
    """A pass over some columns, for fitting."""
    return counted(f"vocabulary of {', '.join(columns)}", view, columns)


def columns_to_encode(processor: Processor, split: str, row: Mapping[str, Any]) -> list[str]:
    """The columns to encode; accepted answers count in evaluation only."""
    columns = processor.spec.columns
    if split == "train":
        return list(columns)
    accepted = [target.references for target in processor.targets.values()]
    return list(dict.fromkeys([*columns, *(name for name in accepted if name and name in row)]))


def raw_length(column: str, row: Mapping[str, Any]) -> int:
    """How long a row is before it is encoded; 0 where that cannot be told."""
    value = row.get(column)
    return len(value) if isinstance(value, Sequence) else 0  # encoding says what is wrong with it


def encode_rows(
    processor: Processor, split: str, where: Where, rows: Sequence[NumberedRow]
) -> EncodedRows:
    """Rows of a stream, encoded together.

    Raises:
        DataError: a row has not the columns, or is not as described.
    """
    columns = columns_to_encode(processor, split, rows[0][1])
    values = {
        column: [value_of(row, column, where, number) for number, row in rows] for column in columns
    }
    return processor.encode_columns(values, lambda index: where(rows[index][0]))
