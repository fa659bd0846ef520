"""Input features: one column of raw values to ids or numbers."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqlab.data import checks
from seqlab.data.checks import Where
from seqlab.data.ragged import Ragged
from seqlab.data.spec import FeatureSpec, TokenizerSpec
from seqlab.data.vocabulary import Vocabulary, fit_vocabulary
from seqlab.errors import BundleError
from seqlab.types import FeatureInfo

#: A way to go through one column of the training rows in chunks, as often as needed.
Column = Callable[[], Iterable[tuple[Sequence[Any], Where]]]

_MAX_CHANNELS = 1_000_000


class Input(ABC):
    """A fitted feature.

    Args:
        name: the feature's name.
        spec: its options.
    """

    def __init__(self, name: str, spec: FeatureSpec) -> None:
        self.name = name
        self.spec = spec

    @property
    @abstractmethod
    def info(self) -> FeatureInfo:
        """Kind and size, for the model."""

    @abstractmethod
    def encode(self, values: Sequence[Any], where: Where) -> Ragged:
        """Raw values, one a row; DataError names the first bad row."""


class IdsInput(Input):
    """Text or tokens, as ids of a vocabulary."""

    def __init__(self, name: str, spec: FeatureSpec, vocabulary: Vocabulary) -> None:
        super().__init__(name, spec)
        self.vocabulary = vocabulary

    @property
    def info(self) -> FeatureInfo:
        """``ids``, and the vocabulary's size."""
        return FeatureInfo(self.name, "ids", self.vocabulary.size)

    def encode(self, values: Sequence[Any], where: Where) -> Ragged:
        """``[T]`` ids for each row."""
        return self.vocabulary.encode(prepare_texts(self.spec, values, where))

    @classmethod
    def fit(cls, name: str, spec: FeatureSpec, column: Column) -> IdsInput:
        """With a vocabulary of the training rows."""

        def prepared() -> Iterable[Sequence[Any]]:
            for values, where in column():
                yield prepare_texts(spec, values, where)

        return cls(name, spec, fit_vocabulary(tokenizer_of(spec), prepared))

    @classmethod
    def load(cls, name: str, spec: FeatureSpec, path: Path) -> IdsInput:
        """With the vocabulary of a file."""
        return cls(name, spec, Vocabulary.load(path, tokenizer_of(spec)))


def tokenizer_of(spec: FeatureSpec) -> TokenizerSpec:
    """The tokenizer of a feature; that of ``tokens`` leaves its input as it is split."""
    if spec.kind == "text":
        return spec.tokenizer
    return TokenizerSpec("tokens", spec.tokenizer.vocab_size, spec.tokenizer.min_count)


def prepare_texts(spec: FeatureSpec, values: Sequence[Any], where: Where) -> Sequence[Any]:
    """Checked texts, or checked and transformed token lists."""
    if spec.kind == "text":
        return checks.texts(values, spec.column, where)
    rows = checks.token_lists(values, spec.column, where)
    if spec.tokenizer.lowercase:
        rows = [[token.lower() for token in row] for row in rows]
    change = token_transform(spec.transform)
    return rows if change is None else [[change(token) for token in row] for row in rows]


def token_transform(name: str | None) -> Callable[[str], str] | None:
    """The function behind a transform's name.

    >>> token_transform("suffix:3")("walking"), token_transform("shape")("McDonald-2b")
    ('ing', 'AaAa-9a')
    """
    if name is None:
        return None
    if name == "lower":
        return str.lower
    if name == "shape":
        return _shape
    kind, _, digits = name.partition(":")
    size = int(digits)
    return (lambda token: token[-size:]) if kind == "suffix" else (lambda token: token[:size])


def _shape(token: str) -> str:
    """Capitals as A, other letters as a, digits as 9, runs written once."""
    shape: list[str] = []
    for character in token:
        if character.isalpha():
            mark = "A" if character.isupper() else "a"
        else:
            mark = "9" if character.isdigit() else character
        if not shape or shape[-1] != mark:
            shape.append(mark)
    return "".join(shape)


class NumericInput(Input):
    """Series of numbers with D channels, standardised by the training rows' statistics."""

    def __init__(
        self, name: str, spec: FeatureSpec, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__(name, spec)
        if len(mean) != len(std) or not mean or len(mean) > _MAX_CHANNELS:
            raise BundleError(f"feature '{name}': mean and std must have one number a channel")
        if not all(map(math.isfinite, [*mean, *std])) or min(std) <= 0:
            raise BundleError(f"feature '{name}': mean and std must be finite, std positive")
        self.mean = np.asarray(mean, dtype=np.float64)
        self.std = np.asarray(std, dtype=np.float64)

    @property
    def info(self) -> FeatureInfo:
        """``numeric``, and the number of channels."""
        return FeatureInfo(self.name, "numeric", len(self.mean))

    def encode(self, values: Sequence[Any], where: Where) -> Ragged:
        """``[T, D]`` float32 for each row."""
        rows = [
            series(value, len(self.mean), self.spec.column, where, index)
            for index, value in enumerate(values)
        ]
        flat = np.concatenate(rows) if rows else np.zeros((0, len(self.mean)), dtype=np.float64)
        scaled = ((flat - self.mean) / self.std).astype(np.float32)
        return Ragged.from_flat(scaled, [len(row) for row in rows])

    @classmethod
    def fit(cls, name: str, spec: FeatureSpec, column: Column) -> NumericInput:
        """With mean and standard deviation of each channel over all training steps."""
        moments: _Moments | None = None
        for values, where in column():
            for index, value in enumerate(values):
                channels = None if moments is None else len(moments.mean)
                row = series(value, channels, spec.column, where, index)
                if moments is None and len(row):
                    moments = _Moments(row.shape[1])
                if moments is not None:
                    moments.add(row)
        if moments is None:
            return cls(name, spec, [0.0], [1.0])
        if not spec.standardize:
            channels = len(moments.mean)
            return cls(name, spec, [0.0] * channels, [1.0] * channels)
        return cls(name, spec, moments.mean.tolist(), moments.std.tolist())


class _Moments:
    """Running mean and variance, joined part by part (Chan, Golub and LeVeque, 1983)."""

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.mean = np.zeros(channels)
        self.squares = np.zeros(channels)

    def add(self, row_TD: npt.NDArray[np.float64]) -> None:
        if not len(row_TD):
            return
        mean = row_TD.mean(axis=0)
        total = self.count + len(row_TD)
        shift = mean - self.mean
        self.squares += ((row_TD - mean) ** 2).sum(axis=0)
        self.squares += shift**2 * (self.count * len(row_TD) / total)
        self.mean = self.mean + shift * (len(row_TD) / total)
        self.count = total

    @property
    def std(self) -> npt.NDArray[np.float64]:
        """Of the whole population; 1 for a channel that never varies."""
        std = np.sqrt(self.squares / max(self.count, 1))
        return np.where(std > 1e-12 * np.maximum(1.0, np.abs(self.mean)), std, 1.0)


def series(
    value: Any, channels: int | None, column: str, where: Where, index: int
) -> npt.NDArray[np.float64]:
    """One row's numbers as ``[T, D]``.

    Args:
        value: a list of numbers (D = 1), a list of rows of D numbers, an array, or a string
            of numbers (``0.5 1 2`` or ``[0.5, 1, 2]``), as a CSV file has them.
        channels: D, or None when any will do.
        column: for the error.
        where: for the error.
        index: which value of the column it is.

    Raises:
        DataError: not numbers, rows of different lengths, another D, or not finite.
    """
    array = _as_array(value)
    if array is None:
        raise checks.refuse(
            where(index), column, "a series of numbers, or of equally long rows of them", value
        )
    if array.size == 0:
        return np.zeros((0, channels or 1))
    if array.ndim == 1:
        array = array[:, None]
    if channels is not None and array.shape[1] != channels:
        expected = f"{channels} channels as in the training rows"
        raise checks.refuse(where(index), column, expected, f"{array.shape[1]} channels")
    if not np.isfinite(array).all():
        step = int(np.argwhere(~np.isfinite(array))[0][0])
        raise checks.refuse(
            where(index), column, "finite numbers only", f"{array[step].tolist()} at step {step}"
        )
    return array


def _as_array(value: Any) -> npt.NDArray[np.float64] | None:
    """One or two dimensions of numbers, or None."""
    try:
        if isinstance(value, str):
            value = _parse_numbers(value)
        array = np.asarray(value)
        if array.size == 0:
            array = array.astype(np.float64)
        if array.dtype.kind not in "fiu" or array.ndim not in (1, 2):
            return None
        return array.astype(np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None


def _parse_numbers(text: str) -> Any:
    stripped = text.strip()
    if stripped.startswith("["):
        return json.loads(stripped)
    return [float(part) for part in stripped.replace(",", " ").split()]
