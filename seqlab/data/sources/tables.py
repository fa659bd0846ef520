"""Rows of one or more files of the same format, with the place each row came from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import datasets
import numpy as np

from seqlab.data import formats
from seqlab.data.sources.splits import Indices, assign
from seqlab.errors import DataError, did_you_mean

_BLOCK = 2**20


@dataclass(frozen=True)
class Part:
    """One file: the name errors give it, and how to open it."""

    name: str
    open: Callable[[], BinaryIO]


def file_part(path: str) -> Part:
    """A file on disk.

    Raises:
        DataError: there is no such file.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        problem = "is a folder, not a file" if file.is_dir() else "no such file"
        raise DataError(f"{path}: {problem}")

    def opened() -> BinaryIO:
        try:
            return file.open("rb")
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error

    return Part(path, opened)


def digest(parts: Sequence[Part]) -> str:
    """The sha256 of one file, or of the checksums of several, in order."""
    sums = []
    for part in parts:
        checksum = hashlib.sha256()
        with part.open() as stream:
            while block := stream.read(_BLOCK):
                checksum.update(block)
        sums.append(checksum.hexdigest())
    joined = sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()
    return f"sha256:{joined}"


@dataclass(frozen=True)
class Table:
    """Files of one format as one table.

    Args:
        parts: the files, in order.
        format_name: a name in ``seqlab.data.formats.FORMATS``.
        options: the format's options.
        columns: the columns to keep, or None for all.
    """

    parts: tuple[Part, ...]
    format_name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] | None = None

    def rows(self) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """File, line and columns of every row.

        Raises:
            DataError: a file is not what its format says, or lacks a column.
        """
        for part in self.parts:
            names = None
            with part.open() as stream:
                for line, row in formats.read(stream, part.name, self.format_name, self.options):
                    names = names or self._names(row, f"{part.name} line {line}")
                    yield part.name, line, {name: row[name] for name in names}

    def _names(self, row: Mapping[str, Any], where: str) -> tuple[str, ...]:
        for name in self.columns or ():
            if name not in row:
                raise DataError(f"{where}: column '{name}' is missing: {did_you_mean(name, row)}")
        return self.columns or tuple(row)

    def locate(self, index: int) -> str:
        """File and line of the index-th row; reads the files again, for errors only."""
        for number, (file, line, _) in enumerate(self.rows()):
            if number == index:
                return f"{file} line {line}"
        return f"row {index + 1}"

    def read(self) -> tuple[dict[str, list[Any]], list[str]]:
        """All rows: column to values, and each row's file.

        Raises:
            DataError: a file cannot be read, there are no rows, or files differ in columns.
        """
        columns: dict[str, list[Any]] = {}
        files: list[str] = []
        for file, line, row in self.rows():
            if not files:
                columns = {name: [] for name in row}
            if row.keys() != columns.keys():
                raise DataError(
                    f"{file} line {line}: columns {', '.join(row)}, but {self.parts[0].name} has "
                    f"{', '.join(columns)}"
                )
            for name, value in row.items():
                columns[name].append(value)
            files.append(file)
        if not files:
            raise DataError(f"{', '.join(part.name for part in self.parts)}: no rows in it")
        return columns, files

    def split(self, rule: Mapping[str, Any]) -> dict[str, Indices]:
        """The rows of each split under a rule, found in one pass without keeping the rows."""
        files, values, count = [], [], 0
        column = rule.get("column")
        for file, line, row in self.rows():
            count += 1
            if rule["by"] == "member":
                files.append(file)
            if column is not None:
                values.append(_value_of(row, column, f"{file} line {line}"))
        return assign(rule, count, files, values)


def _value_of(row: Mapping[str, Any], column: str, where: str) -> Any:
    if column not in row:
        raise DataError(f"{where}: column '{column}' is missing: {did_you_mean(column, row)}")
    return row[column]


def split_rows(
    rule: Mapping[str, Any], columns: Mapping[str, list[Any]], files: Sequence[str]
) -> dict[str, Indices]:
    """The rows of each split, for columns and files as ``Table.read`` returns them.

    Raises:
        DataError: the rule's column is missing, or a split gets no rows.
    """
    column = rule.get("column")
    values = None if column is None else _value_of(columns, column, files[0])
    return assign(rule, len(files), files, values)


def to_dataset(columns: Mapping[str, list[Any]], where: str) -> datasets.Dataset:
    """Columns as an in-memory data set.

    Raises:
        DataError: a column mixes types that no table can hold.
    """
    import pyarrow as pa

    try:
        return datasets.Dataset.from_dict(dict(columns))
    except (pa.ArrowException, TypeError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{where}: a column mixes types: {reason}") from error


def take(columns: Mapping[str, list[Any]], rows: Indices) -> dict[str, list[Any]]:
    """Some rows of columns."""
    chosen = rows.tolist()
    return {name: [values[row] for row in chosen] for name, values in columns.items()}


def stream_rows(table: Table, chosen: np.ndarray | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a table one by one, or those for which ``chosen`` is true."""
    empty = True
    for number, (_, _, row) in enumerate(table.rows()):
        empty = False
        if chosen is None or chosen[number]:
            yield row
    if empty:
        raise DataError(f"{', '.join(part.name for part in table.parts)}: no rows in it")
