"""What a source of data is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from seqlab.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    import datasets

Splits: TypeAlias = "datasets.DatasetDict | datasets.IterableDatasetDict"

#: The names a split may have.
SPLITS = ("train", "validation", "test")


class Source(ABC):
    """Where data comes from. A plugin registers a subclass under the kind ``source``.

    A source is constructed from plain keyword options, the keys of the config's ``source``
    group; construction does nothing slow.

    Example:
        >>> import datasets
        >>> class Squares(Source):
        ...     def __init__(self, *, count=3):
        ...         self.count = count
        ...     def load(self):
        ...         rows = {"x": list(range(self.count)), "y": [i * i for i in range(self.count)]}
        ...         return datasets.DatasetDict(train=datasets.Dataset.from_dict(rows))
        ...     def describe(self):
        ...         return {"name": "squares", "origin": "computed", "licence": "none",
        ...                 "digest": "none", "rows": {"train": self.count}}
        >>> Squares(count=2).load()["train"]["y"][:]
        [0, 1]
    """

    def use_columns(self, columns: Mapping[str, str | None]) -> None:  # noqa: B027 - may stay as it is
        """Told before ``load`` which columns will be read.

        A source may leave the others unread and unchecked. By default nothing is done.

        Args:
            columns: each column with the config key that asks for it, for errors; None for one
                that may be absent.
        """

    def check_columns(self) -> None:  # noqa: B027 - may stay as it is
        """Refuse data that lack a column, if the beginning of them shows it at once.

        Asked after ``use_columns``, before the libraries that training needs are imported; it
        imports none of them. ``load`` finds the same mistakes. By default nothing is done.

        Raises:
            DataError: a column is missing; file and row are named.
        """

    @abstractmethod
    def load(self) -> Splits:
        """The data, with those of the splits ``train``, ``validation``, ``test`` that exist.

        Raises:
            DataError: the data cannot be had or is not as described; file and row are named.
        """

    @abstractmethod
    def describe(self) -> dict[str, object]:
        """The data's identity, for the model card.

        Returns:
            ``name``, ``origin``, ``licence``, ``digest`` (a checksum of the data) and ``rows``
            (split to number of rows, as far as known).
        """

    def locate(self, split: str, row: int) -> str:
        """Where a row stands, for error messages; rows count from 0.

        A source that reads files names file and line.
        """
        return f"{split} row {row + 1}"


def unknown(key: str, value: object, known: Iterable[str]) -> ConfigError:
    """The error for an option that must be one of some names."""
    return ConfigError(f"{key}: unknown {value!r}: {did_you_mean(str(value), known)}")


def row_counts(splits: Splits) -> dict[str, int]:
    """Rows of each split; a stream's are not known beforehand and left out."""
    import datasets  # takes long

    return {
        name: split.num_rows
        for name, split in splits.items()
        if isinstance(split, datasets.Dataset)
    }
