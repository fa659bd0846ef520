"""The user's own files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from seqlab.data.formats.choice import make_format
from seqlab.data.order import Indices
from seqlab.data.sources.bad_rows import BadRows
from seqlab.data.sources.base import Source, Splits
from seqlab.data.sources.splits import read_split
from seqlab.data.sources.tables import (
    Table,
    digest,
    file_part,
    split_rows,
    stream_rows,
    take,
    to_dataset,
)
from seqlab.errors import ConfigError
from seqlab.schema import Flag, checked

if TYPE_CHECKING:
    import datasets

Paths = str | Sequence[str] | None


class FilesSource(Source):
    """Files of rows: csv, tsv, json, jsonl, parquet, text, conll and more.

    Args:
        train: the training file, or a list of files.
        validation: the same, for validation.
        test: the same, for the test.
        path: instead of these, one file (or list) that ``split`` divides.
        split: how to divide ``path``, see ``seqlab.data.sources.splits.read_split``.
        format: a registered format's name, or a mapping with ``name`` and the format's options;
            by default what the file's ending says.
        columns: the columns to keep; by default those that the run reads.
        on_error: what becomes of a row that the format refuses: ``raise``, or ``skip``, which
            leaves it out and says so.
        streaming: read rows as they are needed, for files larger than memory.
        name: what the model card calls the data.
        origin: where they are from, for the model card.
        licence: under which terms, for the model card.

    Raises:
        ConfigError: no file is given, ``path`` goes with ``train``, or an option is wrong.
    """

    @checked
    def __init__(
        self,
        *,
        train: Paths = None,
        validation: Paths = None,
        test: Paths = None,
        path: Paths = None,
        split: Mapping[str, Any] | None = None,
        format: str | Mapping[str, Any] | None = None,  # noqa: A002 - the config's word for it
        columns: Sequence[str] | None = None,
        streaming: Flag = False,
        on_error: Literal["raise", "skip"] = "raise",
        name: str | None = None,
        origin: str = "the user's files",
        licence: str = "not stated",
    ) -> None:
        given = {"train": train, "validation": validation, "test": test}
        self._paths = {name: _path_list(paths) for name, paths in given.items() if paths}
        if path:
            if self._paths:
                raise ConfigError("source: give either path or train/validation/test, not both")
            self._paths = {"all": _path_list(path)}
        elif not self._paths:
            raise ConfigError("source: give train (and validation, test), or path")
        if split is not None and not path:
            raise ConfigError("source.split divides the file of source.path; give path with it")
        self._rule = read_split(split) if split is not None else None
        every = [file for files in self._paths.values() for file in files]
        self._format = make_format(format, every[0])
        self._columns = chosen_columns(columns)
        self._bad = BadRows(skip=on_error == "skip")
        self._streaming = streaming
        self._identity = {"name": name or ", ".join(every), "origin": origin, "licence": licence}
        self._rows: dict[str, int] = {}
        self._indices: dict[str, Indices] = {}

    def use_columns(self, columns: Mapping[str, str | None]) -> None:
        """Read and check these columns only, and the one that divides the rows."""
        if self._columns is None:
            self._columns = dict(columns)
            if self._rule is not None:
                for column, key in self._rule.needs.items():
                    self._columns.setdefault(column, key)

    def check_columns(self) -> None:
        """Hold the beginning of each file against the columns that are used."""
        for split in self._paths:
            self._table(split).check_columns()

    def load(self) -> Splits:
        """The files' rows; with ``streaming`` they are read when asked for."""
        tables = {split: self._table(split) for split in self._paths}
        loaded: Splits = self._stream(tables) if self._streaming else self._read(tables)
        return loaded

    def describe(self) -> dict[str, object]:
        """Names, the files' checksum, and the rows of each split once loaded."""
        parts = [file_part(file) for files in self._paths.values() for file in files]
        skipped = {"skipped": self._bad.describe()} if self._bad.skip else {}
        return {**self._identity, "digest": digest(parts), "rows": dict(self._rows), **skipped}

    def locate(self, split: str, row: int) -> str:
        """File and line."""
        if split in self._paths:
            return self._table(split).locate(row)
        indices = self._indices.get(split)
        return self._table("all").locate(row if indices is None else int(indices[row]))

    def _table(self, split: str) -> Table:
        parts = tuple(file_part(file) for file in self._paths[split])
        return Table(parts, self._format, self._columns, self._bad)

    def _read(self, tables: Mapping[str, Table]) -> datasets.DatasetDict:
        import datasets  # takes long

        if self._rule is not None:
            columns, files = tables["all"].read()
            self._indices = split_rows(self._rule, columns, files, tables["all"].locate)
            splits = {name: take(columns, rows) for name, rows in self._indices.items()}
        else:
            splits = {"train" if n == "all" else n: t.read()[0] for n, t in tables.items()}
        where = self._identity["name"]
        loaded = datasets.DatasetDict(
            {name: to_dataset(columns, where) for name, columns in splits.items()}
        )
        self._rows = {split: data.num_rows for split, data in loaded.items()}
        return loaded

    def _stream(self, tables: Mapping[str, Table]) -> datasets.IterableDatasetDict:
        import datasets

        chosen: dict[str, tuple[Table, list[np.ndarray | None]]] = {
            "train" if split == "all" else split: (table, [None] * len(table.parts))
            for split, table in tables.items()
        }
        if self._rule is not None:
            table = tables["all"]
            self._indices, sizes = table.split(self._rule)
            self._rows = {split: len(rows) for split, rows in self._indices.items()}
            ends = np.cumsum(sizes)
            chosen = {
                split: (table, list(np.split(np.isin(np.arange(ends[-1]), rows), ends[:-1])))
                for split, rows in self._indices.items()
            }
        return datasets.IterableDatasetDict(
            {
                # a list in gen_kwargs: a file is a shard
                split: datasets.IterableDataset.from_generator(
                    partial(stream_rows, table), gen_kwargs={"files": list(enumerate(masks))}
                )
                for split, (table, masks) in chosen.items()
            }
        )


def _path_list(paths: str | Sequence[str]) -> list[str]:
    return [paths] if isinstance(paths, str) else list(paths)


def chosen_columns(columns: Sequence[str] | None) -> dict[str, str | None] | None:
    """The columns of the option ``columns``, each with the key that asks for it; None for all."""
    return None if columns is None else dict.fromkeys(columns, "source.columns")
