"""A series of numbers of a length of its own, beside the steps of a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seqlab.data.features.numeric import NumericFeature
from seqlab.data.numbers import Floats, all_series
from seqlab.data.ragged import Ragged
from seqlab.data.raw_columns import Where
from seqlab.errors import DataError
from seqlab.schema import Count, Flag
from seqlab.types import FeatureInfo


class WholeSeriesFeature(NumericFeature):
    """A series of a length of its own, which an encoder reads to one vector beside every step.

    Such are the values of a sensor beside the words of a report. A row has a list of numbers, or of
    rows of D numbers. How it is read is said by ``encoder.embedding.features.NAME``, see
    ``seqlab.piece_reader``.

    Args:
        name: the feature's name.
        column: the column of the data set: a series for each row.
        standardize: subtract the training mean, divide by the training standard deviation, each
            channel by its own.
        longest: what comes after so many steps is left out.
        allow_empty: a series may have no steps; its vector is zero then.

    >>> feature = WholeSeriesFeature("pulse", "pulse", standardize=False, longest=3)
    >>> feature.fit(lambda: [([[[1, 2], [3, 4]]], "row {}".format)])
    >>> feature.encode([[[5, 6]], [[1, 2], [3, 4]]], "row {}".format).row(1).tolist()
    [[2.0, 1.0, 2.0, 3.0, 4.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        name: str,
        column: str,
        *,
        standardize: Flag = True,
        longest: Count = 200,
        allow_empty: Flag = False,
    ) -> None:
        super().__init__(name, column, standardize=standardize)
        self.longest, self.allow_empty = longest, allow_empty
        self.role = "row"

    @property
    def info(self) -> FeatureInfo:
        """``series``, the number of channels, and the most steps."""
        return FeatureInfo(self.name, "series", len(self.mean), self.role, longest=self.longest)

    def encode(self, values: Sequence[Any], where: Where) -> Ragged:
        """``[1, 1 + longest * D]`` for each row: how many steps, and their numbers."""
        flat, lengths = self._flat(values, len(self.mean), where)
        scaled = self._scaled(flat, lengths, where)
        series = Ragged.from_flat(scaled, lengths).truncate(self.longest)
        padded = np.zeros((len(values), self.longest, scaled.shape[1]), np.float32)
        row = np.repeat(np.arange(len(series)), series.lengths)
        step = np.arange(len(series.values)) - np.repeat(series.offsets[:-1], series.lengths)
        padded[row, step] = series.values
        counts = series.lengths.astype(np.float32)[:, None]
        codes = np.concatenate([counts, padded.reshape(len(values), -1)], axis=1)
        return Ragged.from_flat(codes, [1] * len(values))

    def _flat(
        self, values: Sequence[Any], channels: int | None, where: Where
    ) -> tuple[Floats, list[int]]:
        flat, lengths = all_series(values, channels, self.column, where)
        if not self.allow_empty and 0 in lengths:
            raise DataError(
                f"{where(lengths.index(0))}: column '{self.column}': expected a series of at least "
                f"one step, found none; allow_empty: true of feature '{self.name}' takes such rows"
            )
        return flat, lengths

    def decode(self, values: Sequence[Any]) -> Any:
        """The numbers as they were before they were scaled."""
        count, *numbers = values[0]
        steps = np.asarray(numbers, np.float64).reshape(self.longest, -1)[: int(count)]
        return super().decode(steps.tolist())
