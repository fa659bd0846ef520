"""Input features: one column of raw values to ids or numbers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqlab.data import checks
from seqlab.data.checks import Where
from seqlab.data.numbers import Moments, all_series
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
        flat, lengths = all_series(values, len(self.mean), self.spec.column, where)
        scaled = ((flat - self.mean) / self.std).astype(np.float32)
        return Ragged.from_flat(scaled.reshape(-1, len(self.mean)), lengths)

    @classmethod
    def fit(cls, name: str, spec: FeatureSpec, column: Column) -> NumericInput:
        """With mean and standard deviation of each channel over all training steps."""
        moments: Moments | None = None
        for values, where in column():
            channels = None if moments is None else len(moments.mean)
            flat, _ = all_series(values, channels, spec.column, where)
            if moments is None and len(flat):
                moments = Moments(flat.shape[1])
            if moments is not None:
                moments.add(flat)
        if moments is None:
            return cls(name, spec, [0.0], [1.0])
        if not spec.standardize:
            channels = len(moments.mean)
            return cls(name, spec, [0.0] * channels, [1.0] * channels)
        return cls(name, spec, moments.mean.tolist(), moments.std.tolist())

    @classmethod
    def load(cls, name: str, spec: FeatureSpec, statistics: Any, path: Path) -> NumericInput:
        """With the mean and standard deviation that a file holds.

        Raises:
            BundleError: they are missing or no finite numbers.
        """
        entry = statistics.get(name) if isinstance(statistics, dict) else None
        lists = [entry.get(key) for key in ("mean", "std")] if isinstance(entry, dict) else [None]
        for numbers in lists:
            good = isinstance(numbers, list) and not {type(n) for n in numbers} - {int, float}
            if not good:
                raise BundleError(f"{path}: feature '{name}' needs lists of numbers 'mean', 'std'")
        return cls(name, spec, *lists)

    @property
    def statistics(self) -> dict[str, list[float]]:
        """What ``load`` reads."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}
