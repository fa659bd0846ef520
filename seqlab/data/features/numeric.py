"""Series of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqlab.data.features.base import Feature, Role
from seqlab.data.numbers import Floats, Moments, all_series, row_of_numbers, to_float32
from seqlab.data.part import Column
from seqlab.data.ragged import Array, Ragged
from seqlab.data.raw_columns import Where
from seqlab.errors import BundleError, OptionError
from seqlab.row_scales import RowScale
from seqlab.schema import Flag, Positive, read
from seqlab.types import FeatureInfo

_MAX_CHANNELS = 1_000_000


@dataclass(frozen=True)
class _State:
    """What the feature keeps."""

    mean: list[float]
    std: list[Positive]


class NumericFeature(Feature):
    """A series of numbers, or of rows of D numbers, with the training rows' mean and deviation.

    Args:
        name: the feature's name.
        column: the column of the data set.
        standardize: subtract the training mean, divide by the training standard deviation,
            each channel by its own.
        role: ``step``: a series, or rows of D numbers, an entry a step; ``row``: a number, or D of
            them, for the whole row; ``ahead``: as a series, of what is known of the steps to come.
        row_scale: ``none``; ``mean`` or ``standard``: each row is scaled by the model by what it
            is itself, see ``seqlab.row_scales``, and not by the training rows.
    """

    fits_in_one_pass = True

    def __init__(
        self,
        name: str,
        column: str,
        *,
        standardize: Flag = True,
        role: Role = "step",
        row_scale: RowScale = "none",
    ) -> None:
        super().__init__(name, column)
        if row_scale != "none" and role != "step":
            raise OptionError(f"row_scale belongs to role=step, not to role={role}")
        self.role, self.row_scale = role, row_scale
        self.standardize = standardize and row_scale == "none"
        self.mean, self.std = np.zeros(1), np.ones(1)

    @property
    def info(self) -> FeatureInfo:
        """``numeric``, and the number of channels."""
        return FeatureInfo(self.name, "numeric", len(self.mean), self.role, self.row_scale)

    @property
    def scaling(self) -> tuple[Array, Array] | None:
        """Mean and deviation of each channel, of a feature with an entry a step."""
        return (self.mean, self.std) if self.role == "step" else None

    def fit(self, values: Column) -> None:
        """With mean and standard deviation of each channel over all training steps."""
        moments: Moments | None = None
        for chunk, where in values():
            channels = None if moments is None else len(moments.mean)
            flat, _ = self._flat(chunk, channels, where)
            if moments is None and len(flat):
                moments = Moments(flat.shape[1])
            if moments is not None:
                moments.add(flat)
        if moments is not None and self.standardize:
            self.mean, self.std = moments.mean, moments.std
        elif moments is not None:
            self.mean, self.std = np.zeros_like(moments.mean), np.ones_like(moments.mean)

    def encode(self, values: Sequence[Any], where: Where) -> Ragged:
        """``[T, D]`` float32 for each row."""
        flat, lengths = self._flat(values, len(self.mean), where)
        return Ragged.from_flat(self._scaled(flat, lengths, where), lengths)

    def _scaled(self, flat: Floats, lengths: list[int], where: Where) -> Array:
        """``[N, D]`` float32."""
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (flat - self.mean) / self.std
        return to_float32(scaled, lengths, self.column, where).reshape(-1, len(self.mean))

    def _flat(
        self, values: Sequence[Any], channels: int | None, where: Where
    ) -> tuple[Floats, list[int]]:
        """All numbers, ``[N, D]``, and how many steps each row has."""
        if self.role != "row":
            return all_series(values, channels, self.column, where)
        rows: list[list[float]] = []
        for row, value in enumerate(values):
            rows.append(row_of_numbers(value, channels, self.column, where, row))
            channels = len(rows[-1])
        return np.array(rows, np.float64).reshape(len(rows), channels or 1), [1] * len(rows)

    def decode(self, values: Sequence[Any]) -> Any:
        """The numbers as they were before they were scaled."""
        return (np.asarray(values) * self.std + self.mean).tolist()

    def state(self) -> dict[str, Any]:
        """Mean and standard deviation of each channel."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    def restore(self, state: Any) -> None:
        """Take mean and standard deviation.

        Raises:
            OptionError: they are missing or no finite numbers.
            BundleError: they are not as many as each other.
        """
        kept = read(_State, state, f"feature '{self.name}'")
        if not 0 < len(kept.mean) == len(kept.std) <= _MAX_CHANNELS:
            raise BundleError(f"feature '{self.name}': mean and std must have one number a channel")
        self.mean, self.std = np.array(kept.mean, np.float64), np.array(kept.std, np.float64)
