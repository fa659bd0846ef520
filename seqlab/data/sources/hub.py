"""Data sets of the Hugging Face hub."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

import datasets

from seqlab.data.sources.base import SPLITS, Source, Splits, row_counts, unknown
from seqlab.errors import DataError, did_you_mean, one_line
from seqlab.schema import Name, checked

_TIMEOUT_S = 10


class HubSource(Source):
    """A data set of the Hugging Face hub, by ``datasets.load_dataset``.

    Args:
        path: the data set's name on the hub, such as ``ag_news``.
        config: the data set's configuration, where it has several.
        revision: branch, tag or commit; name a commit to have the same data always.
        splits: our split names to the hub's, such as ``{train: "train[:90%]", test: test}``;
            by default the hub's splits of the same name.
        columns: the columns to keep; by default all.
        streaming: read rows from the hub as they are needed.
        licence: under which terms; by default what the hub says.

    Raises:
        ConfigError: an option has a wrong value.
    """

    @checked
    def __init__(
        self,
        *,
        path: Name,
        config: str | None = None,
        revision: str | None = None,
        splits: Mapping[str, str] | None = None,
        columns: Sequence[str] | None = None,
        streaming: bool = False,
        licence: str | None = None,
    ) -> None:
        for split in splits or ():
            if split not in SPLITS:
                raise unknown("source.splits", split, SPLITS)
        self._path, self._config, self._revision = path, config, revision
        self._splits = dict(splits) if splits else None
        self._columns = None if columns is None else list(columns)
        self._streaming, self._licence = streaming, licence
        self._rows: dict[str, int] = {}
        self._fingerprints: dict[str, str] = {}

    def load(self) -> Splits:
        """The hub's splits, downloaded or streamed.

        Raises:
            DataError: the hub is not reachable and the data set not in the cache, there is no
                such data set, or it lacks a split or column.
        """
        if not datasets.config.HF_HUB_OFFLINE:
            check_reachable(self._path)
        loaded = self._load_all() if self._splits is None else self._load_named(self._splits)
        if self._columns is not None:
            for name, data in loaded.items():
                self._check_columns(name, data)
            loaded = loaded.select_columns(self._columns)
        self._rows = row_counts(loaded)
        for name, data in loaded.items():
            self._fingerprints[name] = getattr(data, "_fingerprint", None) or "stream"
            self._licence = self._licence or data.info.license or None
        return loaded

    def describe(self) -> dict[str, object]:
        """Name, hub address, licence, fingerprints and rows, the latter once loaded."""
        revision = f"@{self._revision}" if self._revision else ""
        prints = ", ".join(f"{name} {value}" for name, value in self._fingerprints.items())
        return {
            "name": self._path if self._config is None else f"{self._path}/{self._config}",
            "origin": f"Hugging Face hub, {self._path}{revision}",
            "licence": self._licence or "see the hub's page",
            "digest": f"fingerprint: {prints}" if prints else "not loaded",
            "rows": dict(self._rows),
        }

    def _load_all(self) -> Splits:
        found = self._call(None)
        kept = {name: found[name] for name in SPLITS if name in found}
        if not kept:
            raise DataError(
                f"hub data set {self._path}: its splits are {', '.join(found)}; say in "
                "source.splits which is train, validation and test"
            )
        return self._wrap(kept)

    def _load_named(self, splits: Mapping[str, str]) -> Splits:
        return self._wrap({name: self._call(theirs) for name, theirs in splits.items()})

    def _wrap(self, parts: dict[str, Any]) -> Splits:
        kind = datasets.IterableDatasetDict if self._streaming else datasets.DatasetDict
        wrapped: Splits = kind(parts)
        return wrapped

    def _call(self, split: str | None) -> Any:
        try:
            return datasets.load_dataset(
                self._path,
                self._config,
                split=split,
                revision=self._revision,
                streaming=self._streaming,
            )
        except Exception as error:  # many kinds, from several libraries
            raise DataError(
                f"hub data set {self._path}: cannot be loaded: {one_line(error)}"
            ) from error

    def _check_columns(self, split: str, data: Any) -> None:
        for column in self._columns or ():
            if data.column_names is not None and column not in data.column_names:
                raise DataError(
                    f"hub data set {self._path}, split {split}: column '{column}' is missing: "
                    f"{did_you_mean(column, data.column_names)}"
                )


def check_reachable(path: str) -> None:
    """Ask the hub for a sign of life, so that a dead network is known in seconds.

    Raises:
        DataError: there is none.
    """
    address = datasets.config.HF_ENDPOINT
    request = urllib.request.Request(address, method="HEAD")  # noqa: S310 - the user's own hub
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310 - see above
            pass
    except urllib.error.HTTPError:
        return  # it answered
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise DataError(
            f"hub data set {path}: the hub {address} is not reachable ({reason}); set "
            "HF_HUB_OFFLINE=1 to use a copy in the cache, or use source=files or source=package"
        ) from error
