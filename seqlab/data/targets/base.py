"""What a target is: what a model learns to predict, encoded for it and decoded for people."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from seqlab.data.encoded import Accepted, Layout, References
from seqlab.data.part import ColumnPart
from seqlab.data.ragged import Array, Ragged
from seqlab.data.raw_columns import Where
from seqlab.types import TargetInfo


class Target(ColumnPart, ABC):
    """What is to be predicted: a column of raw values to ids or numbers, and answers back.

    An author writes ``info``, ``encode`` and ``decode``, and where something is learnt from the
    training rows ``fit``, ``state`` and ``restore``. Options are keyword arguments of
    ``__init__`` after ``column``; their annotations are checked.

    Args:
        column: the column of the data set.
    """

    #: What ``encode`` gives: ``row`` (an array ``[R]`` or ``[R, C]``), ``steps`` (an entry for
    #: each step of the input) or ``sequence`` (a length of its own); the last two ``Ragged``.
    layout: Layout = "row"
    #: Whether ``fit`` is given all rows of the source's training split, those held out too. Which
    #: classes there are is no secret of theirs; anything else is.
    fits_on_all: ClassVar[bool] = False
    #: How many steps beside its own a model of one direction predicts from a step.
    overlap: ClassVar[int] = 0
    #: A column with all accepted answers of each row, for evaluation, or None.
    references: str | None = None

    @property
    @abstractmethod
    def info(self) -> TargetInfo:
        """Kind and size, for the head: its kind is one that a head serves."""

    @abstractmethod
    def encode(self, values: Sequence[Any], where: Where) -> Array | Ragged:
        """Raw values, one a row.

        Raises:
            DataError: a value does not fit; the first bad row is named.
        """

    def see(self, features: Sequence[ColumnPart]) -> None:
        """Meet the features, before anything is fitted; for a target that is made of them."""

    def of_inputs(self, inputs: Mapping[str, Ragged]) -> Ragged | None:
        """The target of rows whose features are encoded, by name; None: it is encoded by itself."""
        del inputs
        return None

    def encode_references(self, values: Sequence[Any], where: Where) -> References | None:
        """The accepted answers of each row as ids; for targets that have ``references``."""
        del values, where
        return None

    def accepted(self, columns: Mapping[str, Sequence[Any]], where: Where) -> Accepted:
        """What ``encode_references`` gives, where ``columns`` has their column."""
        if self.references is None or self.references not in columns:
            return Accepted()
        return Accepted(self.encode_references(columns[self.references], where))

    @abstractmethod
    def decode(self, prediction: Any) -> Any:
        """A row's predicted ids (or numbers) as people read them."""
