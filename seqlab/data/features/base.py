"""What a feature is: one input of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

from seqlab.data.part import ColumnPart
from seqlab.data.ragged import Ragged
from seqlab.data.raw_columns import Where
from seqlab.types import FeatureInfo

#: How the entries of a feature lie beside the steps of a row.
Role = Literal["step", "row", "ahead"]


class Feature(ColumnPart, ABC):
    """One input of a model: a column of raw values to ids or numbers, a step at a time.

    An author writes ``info``, ``encode`` and ``decode``, and where something is learnt from the
    training rows ``fit``, ``state`` and ``restore``. Options are keyword arguments of
    ``__init__`` after ``name`` and ``column``; their annotations are checked.

    Args:
        name: the feature's name.
        column: the column of the data set.
    """

    #: ``step``: an entry a step; ``row``: one entry a row; ``ahead``: one for each step to come.
    role: Role = "step"

    def __init__(self, name: str, column: str) -> None:
        super().__init__(column)
        self.name = name

    @property
    @abstractmethod
    def info(self) -> FeatureInfo:
        """Kind and size, for the model: ``ids``, ``numeric``, ``pieces`` or ``series``."""

    @abstractmethod
    def encode(self, values: Sequence[Any], where: Where) -> Ragged:
        """Raw values, one a row, to ids ``[T]`` or numbers ``[T, D]`` for each row.

        Raises:
            DataError: a value does not fit; the first bad row is named.
        """

    @abstractmethod
    def decode(self, values: Sequence[Any]) -> Any:
        """What ``encode`` made of one row, as people read it."""
