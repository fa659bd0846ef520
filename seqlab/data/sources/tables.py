"""Rows of one or more files of the same format, with the place each row came from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from seqlab import progress
from seqlab.data.formats.base import Format
from seqlab.data.order import Indices
from seqlab.data.raw_columns import Where
from seqlab.data.sources.bad_rows import BadRows
from seqlab.data.sources.column_types import ColumnTypes
from seqlab.data.sources.split_rules import MemberRule, Rows, Rule
from seqlab.data.sources.splits import divide
from seqlab.errors import DataError, did_you_mean, listed
from seqlab.files import reading, sha256_of

if TYPE_CHECKING:
    import datasets

#: Rows that are checked together.
CHUNK = 4096


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
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error

    return Part(path, opened)


def digest(parts: Sequence[Part]) -> str:
    """The sha256 of one file, or of the checksums of several, in order."""
    sums = []
    for part in parts:
        with part.open() as stream:
            sums.append(sha256_of(stream))
    joined = sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()
    return f"sha256:{joined}"


class Chunk(NamedTuple):
    """Some rows of one file, column by column, and the line each of them begins at."""

    file: str
    lines: list[int]
    columns: dict[str, list[Any]]
    #: The rows as they were read, where they have these columns and no others.
    whole: list[dict[str, Any]] | None = None
    #: Which file of the table it is.
    part: int = 0

    @property
    def rows(self) -> Iterable[dict[str, Any]]:
        """One row after the other."""
        if self.whole is not None:
            return self.whole
        names = tuple(self.columns)
        return (
            dict(zip(names, values, strict=True))
            for values in zip(*self.columns.values(), strict=True)
        )


@dataclass
class _Seen:
    """What the rows read so far have; of files read apart, those before them too."""

    names: tuple[str, ...] | None = None
    types: ColumnTypes = field(default_factory=ColumnTypes)
    rows: bool = False


@dataclass(frozen=True)
class Table:
    """Files of one format as one table.

    Only columns in use are kept and checked: whatever stands in the others, no row is refused
    for it.

    Args:
        parts: the files, in order.
        format: reads them.
        columns: the columns in use, each with the config key that asks for it; one with None may
            be absent. Without any, all columns of the first row are in use.
        bad: what becomes of bad rows.
    """

    parts: tuple[Part, ...]
    format: Format
    columns: Mapping[str, str | None] | None = None
    bad: BadRows = field(default_factory=lambda: BadRows(skip=False))
    _seen: _Seen = field(default_factory=_Seen, init=False, repr=False, compare=False)

    def chunks(self, numbers: Iterable[int] | None = None) -> Iterator[Chunk]:
        """All rows, or those of some files, checked.

        Args:
            numbers: which files, from 0; each is held against all that was read before.

        Raises:
            DataError: a file is not what its format says, lacks a column, differs in columns
                from the first, or a column mixes types.
        """
        seen, last = self._seen, False
        for number in range(len(self.parts)) if numbers is None else numbers:
            part = self.parts[number]
            last = number == len(self.parts) - 1
            rows = self._rows(part)
            first = True
            while batch := list(islice(rows, CHUNK)):
                if first:
                    seen.names = self._names(part, *batch[0], seen.names)
                    first = False
                chunk = self._checked(part.name, batch, seen.names or (), seen.types)
                seen.rows = seen.rows or bool(chunk.lines)
                yield chunk._replace(part=number)
        if not last:
            return
        self.bad.say()
        if not seen.rows:
            skipped = f" ({self.bad})" if self.bad.skip else ""
            raise DataError(f"{', '.join(p.name for p in self.parts)}: no rows in it{skipped}")

    def check_columns(self) -> None:
        """Refuse files whose beginning lacks a column; all else is left to ``chunks``.

        Raises:
            DataError: a column is missing, or the first row is refused.
        """
        names: tuple[str, ...] | None = None
        for part in self.parts:
            for line, row in islice(self._rows(part, beginning=True), 1):
                names = self._names(part, line, row, names)

    def _rows(self, part: Part, *, beginning: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows of one file that its format does not refuse."""
        read = self.format.beginning if beginning else self.format.read
        with part.open() as stream, reading(part.name, DataError, "readable in its format"):
            for line, row in read(stream, part.name):
                if isinstance(row, DataError):
                    self.bad.add(part.name, line, row)
                else:
                    yield line, row

    def _names(
        self, part: Part, line: int, row: Mapping[str, Any], before: tuple[str, ...] | None
    ) -> tuple[str, ...]:
        """The columns to keep, by the first row of a file."""
        where = self._where(part.name, line)
        if self.columns is None:
            if before is not None and row.keys() != set(before):
                raise DataError(
                    f"{where}: columns {listed(row)}, but {self.parts[0].name} has {listed(before)}"
                )
            return before or tuple(row)
        for name, key in self.columns.items():
            if key is not None and name not in row:
                others = not row.keys().isdisjoint(self.columns)
                with part.open() as stream:
                    advice = self.format.missing(stream, part.name, name, others=others)
                if not advice and key.endswith(".column"):
                    advice = f"; give another as {key}=COLUMN"
                raise DataError(
                    f"{where}: the column '{name}' ({key}) is missing: "
                    f"{did_you_mean(name, map(str, row))}{advice}"
                )
        return before or tuple(name for name in self.columns if name in row)

    def _checked(
        self,
        file: str,
        batch: list[tuple[int, dict[str, Any]]],
        names: tuple[str, ...],
        types: ColumnTypes,
    ) -> Chunk:
        """A chunk of rows that have the columns, of one type each."""
        lines = [line for line, _ in batch]
        try:
            columns = {name: [row[name] for _, row in batch] for name in names}
        except KeyError:
            columns = None
        exact = all(len(row) == len(names) for _, row in batch)
        strict = self.columns is None and not exact
        if columns is not None and not strict and types.take(columns):
            return Chunk(file, lines, columns, [row for _, row in batch] if exact else None)
        good: list[tuple[int, dict[str, Any]]] = []
        for line, row in batch:
            problem = self._problem(row, names, types)
            if problem:
                self.bad.add(file, line, DataError(f"{self._where(file, line)}: {problem}"))
            else:
                good.append((line, row))
        columns = {name: [row[name] for _, row in good] for name in names}
        return Chunk(file, [line for line, _ in good], columns)

    def _problem(self, row: Mapping[str, Any], names: Sequence[str], types: ColumnTypes) -> str:
        """Why a row cannot be used, or ''."""
        for name in names:
            if name not in row:
                return f"column '{name}' is missing; the first row has {listed(names)}"
        for name in row if self.columns is None else ():
            if name not in names:
                return f"column '{name}' is in no row before; the first row has {listed(names)}"
        return types.problem({name: row[name] for name in names})

    def _where(self, file: str, line: int) -> str:
        return f"{file} {self.format.unit} {line}"

    def locate(self, index: int) -> str:
        """File and line of the index-th row; reads the files again, for errors only."""
        place = index
        for chunk in self.chunks():
            if place < len(chunk.lines):
                return self._where(chunk.file, chunk.lines[place])
            place -= len(chunk.lines)
        return f"row {index + 1}"

    def read(self) -> tuple[dict[str, list[Any]], list[str]]:
        """All rows: column to values, and each row's file.

        Raises:
            DataError: as ``chunks``, or there are no rows.
        """
        columns: dict[str, list[Any]] = {}
        files: list[str] = []
        for chunk in self.chunks():
            progress.advance(len(chunk.lines))
            for name, values in chunk.columns.items():
                columns.setdefault(name, []).extend(values)
            files.extend([chunk.file] * len(chunk.lines))
        return columns, files

    def split(self, rule: Rule) -> tuple[dict[str, Indices], list[int]]:
        """The rows of each split under a rule, found in one pass without keeping the rows.

        Returns:
            The rows of each split, and how many each file has.
        """
        files: list[str] = []
        sizes = [0] * len(self.parts)
        values: dict[str, list[Any]] = {column: [] for column in rule.needs}
        count = 0
        for chunk in self.chunks():
            progress.advance(len(chunk.lines))
            count += len(chunk.lines)
            sizes[chunk.part] += len(chunk.lines)
            if isinstance(rule, MemberRule):
                files.extend([chunk.file] * len(chunk.lines))
            for column, found in _deciding(rule, chunk.columns, chunk.file).items():
                values[column].extend(found)
        return divide(rule, Rows(count, files, values, self.locate)), sizes


def _deciding(rule: Rule, columns: Mapping[str, list[Any]], where: str) -> dict[str, list[Any]]:
    """The columns that a rule goes by."""
    for column, key in rule.needs.items():
        if column not in columns:
            raise DataError(
                f"{where}: column '{column}' ({key}) is missing: {did_you_mean(column, columns)}"
            )
    return {column: columns[column] for column in rule.needs}


def split_rows(
    rule: Rule, columns: Mapping[str, list[Any]], files: Sequence[str], where: Where
) -> dict[str, Indices]:
    """The rows of each split, for columns and files as ``Table.read`` returns them.

    Args:
        rule: divides the rows.
        columns: column to values.
        files: each row's file.
        where: where a row stands, for errors.

    Raises:
        DataError: the rule's column is missing, or a split gets no rows.
    """
    return divide(rule, Rows(len(files), files, _deciding(rule, columns, files[0]), where))


def to_dataset(columns: Mapping[str, list[Any]], where: str) -> datasets.Dataset:
    """Columns as an in-memory data set.

    Raises:
        DataError: a column mixes types that no table can hold.
    """
    import datasets  # takes long

    with reading(where, DataError, "a table with one type a column"):
        return datasets.Dataset.from_dict(dict(columns))


def take(columns: Mapping[str, list[Any]], rows: Indices) -> dict[str, list[Any]]:
    """Some rows of columns."""
    chosen = rows.tolist()
    return {name: [values[row] for row in chosen] for name, values in columns.items()}


def stream_rows(
    table: Table, files: Sequence[tuple[int, np.ndarray | None]]
) -> Iterator[dict[str, Any]]:
    """The rows of some files of a table one by one.

    Args:
        table: holds the files.
        files: their numbers, each with which of its rows to take, None for all.
    """
    for number, chosen in files:
        rows = chain.from_iterable(chunk.rows for chunk in table.chunks([number]))
        yield from rows if chosen is None else compress(rows, chosen)
