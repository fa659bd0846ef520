"""A target for seqlab: numbers as levels with like many training rows each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from seqlab import BundleError, DataError, Target
from seqlab.data.numbers import row_of_numbers
from seqlab.data.part import Column
from seqlab.data.raw_columns import Where
from seqlab.schema import Range
from seqlab.types import TargetInfo

#: An int of at least 2.
Levels = Annotated[int, Range(least=2)]


class LevelsTarget(Target):
    """One of K levels of a number a row, ``[R]`` int64; any head for labels serves it.

    Edges are quantiles of the training rows (equal-frequency discretisation; Dougherty, Kohavi and
    Sahami, 1995): ``edge_k = quantile(y, k / K)``, ``level = number of edges below or at y``.

    Args:
        column: the column of numbers.
        levels: K.

    Raises:
        DataError: the training rows have fewer than K different levels.

    Example:
        >>> target = LevelsTarget("y", levels=2)
        >>> target.fit(lambda: [([1.0, 2.0, 7.0, 9.0], "row {}".format)])
        >>> target.info.names, target.encode([0.5, 8], "row {}".format).tolist(), target.decode(1)
        (('below 4.5', 'from 4.5'), [0, 1], 8.0)
    """

    def __init__(self, column: str, *, levels: Levels = 3) -> None:
        super().__init__(column)
        self.levels = levels
        self.edges: list[float] = []
        self.medians: list[float] = []

    @property
    def info(self) -> TargetInfo:
        """``label``, with a name for each level."""
        ends = [f"{edge:g}" for edge in self.edges]
        middle = [f"{low} to {high}" for low, high in pairwise(ends)]
        names = [f"below {ends[0]}", *middle, f"from {ends[-1]}"] if ends else ["any"]
        return TargetInfo("label", len(names), tuple(names))

    def fit(self, values: Column) -> None:
        """The edges, and the median of each level."""
        numbers = np.concatenate([self._read(chunk, where) for chunk, where in values()])
        shares = np.arange(1, self.levels) / self.levels
        edges = np.quantile(numbers, shares)
        level = np.searchsorted(edges, numbers, side="right")
        if len(set(level.tolist())) < self.levels:
            raise DataError(
                f"column '{self.column}': {self.levels} levels need as many different ranges of "
                "numbers in the training rows; ask for fewer levels"
            )
        self.edges = edges.tolist()
        self.medians = [float(np.median(numbers[level == k])) for k in range(self.levels)]

    def encode(self, values: Sequence[Any], where: Where) -> npt.NDArray[np.int64]:
        """The level of each number, ``[R]``."""
        numbers = self._read(values, where)
        return np.searchsorted(self.edges, numbers, side="right").astype(np.int64)

    def decode(self, prediction: Any) -> float:
        """The median of the level's training rows; a prediction is the level."""
        return self.medians[int(prediction)]

    def state(self) -> dict[str, Any]:
        """Edges and medians."""
        return {"edges": self.edges, "medians": self.medians}

    def restore(self, state: Any) -> None:
        """Take edges and medians.

        Raises:
            BundleError: they are no rising numbers, or not as many as levels.
        """
        kept = state if isinstance(state, dict) else {}
        edges, medians = kept.get("edges"), kept.get("medians")
        for numbers, count in ((edges, self.levels - 1), (medians, self.levels)):
            good = isinstance(numbers, list) and all(type(n) in (int, float) for n in numbers)
            if not good or len(numbers) != count or not np.isfinite(numbers).all():
                raise BundleError(f"target '{self.column}' needs {self.levels} medians and edges")
        if np.any(np.diff(edges) <= 0):
            raise BundleError(f"target '{self.column}': edges must rise")
        self.edges, self.medians = edges, medians

    def _read(self, values: Sequence[Any], where: Where) -> npt.NDArray[np.float64]:
        rows = [row_of_numbers(v, 1, self.column, where, row)[0] for row, v in enumerate(values)]
        return np.array(rows, dtype=np.float64)


__all__ = ["LevelsTarget"]
