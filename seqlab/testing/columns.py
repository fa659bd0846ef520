"""The checks of features and targets: columns that are fitted on training rows."""

from __future__ import annotations

import functools
import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from seqlab.data.features.base import Feature
from seqlab.data.features.vocabulary import TextFeature
from seqlab.data.part import Column
from seqlab.data.ragged import Ragged
from seqlab.data.raw_columns import Where
from seqlab.data.targets.base import Target
from seqlab.errors import BundleError, DataError
from seqlab.locks import temporary_folder
from seqlab.testing.case import Case
from seqlab.testing.compare import refused, require
from seqlab.testing.contract import class_table, require_options
from seqlab.testing.result import Numbers, Skip
from seqlab.testing.tokenizers import TEXTS

TOKENS = tuple(text.split() for text in TEXTS)
#: Columns of raw values; a feature or target is checked on the first one that it fits.
COLUMNS: tuple[tuple[Any, ...], ...] = (
    TEXTS,
    TOKENS,
    ("red", "green", "red", "blue") * 5,
    (["red", "blue"], [], ["green"]) * 5,
    (1.5, -2.0, 0.0, 7.25) * 4,
    ([0.5, 1.0, -2.0], [3.0], [1.0, 2.0]) * 4,
    ([[0.5, 1.0], [2.0, 3.0]], [[1.0, -1.0]]) * 4,
)
FEATURE_CHECKS, TARGET_CHECKS = (
    class_table(Feature, "name", "column"),
    class_table(Target, "column"),
)


def place(index: int) -> str:
    """Where a row stands, for errors."""
    return f"row {index + 1}"


@dataclass(frozen=True)
class ColumnCase(Case):
    """A feature or target class with its options."""

    given: ClassVar[tuple[str, ...]]

    def new(self) -> Any:
        """One that is fitted on nothing."""
        require_options(self, given=len(self.given))
        return self.part(*self.given, **self.options)

    def fit(self, part: Any, values: Column) -> None:
        """Fit a part."""
        part.fit(values)

    def fitted(self) -> tuple[Any, list[Any]]:
        """One that is fitted, and the raw values of its training rows.

        Raises:
            Skip: none of the kit's columns fits.
        """
        problems = []
        for values in (getattr(self.part, "samples", ()), *COLUMNS):
            part, column = self.new(), list(values)
            if not column:
                continue
            try:
                self.fit(part, functools.partial(_halves, column))
                part.encode(column, place)
            except DataError as error:
                problems.append(str(error))
                continue
            return part, column
        raise Skip(
            "none of the kit's columns fits it; give some raw values as a class attribute "
            f"'samples' (the last one said: {problems[-1]})"
        )


def _halves(column: list[Any]) -> list[tuple[list[Any], Where]]:
    return [(column[:5], place), (column[5:], place)]


class FeatureCase(ColumnCase):
    """A feature class with its options."""

    kind: ClassVar[str] = "feature"
    given = ("name", "column")


class TargetCase(ColumnCase):
    """A target class with its options."""

    kind: ClassVar[str] = "target"
    given = ("column",)

    def new(self) -> Any:
        """One that is fitted on nothing, beside a feature of text."""
        target: Target = super().new()
        target.see([TextFeature("name", "column")])
        return target

    def fit(self, part: Any, values: Column) -> None:
        """Fit the target, and before it the feature that it is made of."""
        if isinstance(feature := getattr(part, "feature", None), Feature):
            feature.fit(values)
        part.fit(values)


def _bad_values(case: ColumnCase) -> None:
    """A value that does not fit is a ``DataError`` that begins with its row.

    Catches: tracebacks in the middle of a run, rows that nobody can find.
    """
    part, values = case.fitted()
    for bad in (None, {"a": object()}):
        what = f"a row with {bad!r}"
        refused(functools.partial(part.encode, [values[0], bad], place), (DataError,), what)
        message = _message(part, [values[0], bad])
        require(message.startswith("row 2"), f"{what}: the message is '{message}'")


def _comes_back(case: ColumnCase) -> None:
    """What was fitted survives as JSON and in files: the same ``info`` and the same codes.

    Catches: bundles that predict nonsense; unchecked files.
    """
    part, values = case.fitted()
    again = case.new()
    if part.tokenizer is not None and again.tokenizer is not None:
        with temporary_folder() as folder:
            part.tokenizer.save(folder / "tokenizer.json")
            again.tokenizer.load(folder / "tokenizer.json")
    if part.keeps_state:
        again.restored(json.loads(json.dumps(part.state(), allow_nan=False)), "labels.json")
    require(again.info == part.info, f"info is {again.info} after loading, not {part.info}")
    require(_same(_codes(again, values), _codes(part, values)), "other codes after loading")
    if part.keeps_state:
        for state in (None, 7, {}, {"no": "such thing"}):
            wrong = functools.partial(case.new().restored, state, "labels.json")
            refused(wrong, (BundleError,), f"state {state!r}")


def _pickled(case: ColumnCase) -> None:
    """A fitted part survives pickling, with the same codes.

    Catches: loader workers that cannot start.
    """
    part, values = case.fitted()
    again = pickle.loads(pickle.dumps(part))  # noqa: S301 - our own bytes
    require(_same(_codes(again, values), _codes(part, values)), "other codes after pickling")


def _rows_alone(case: ColumnCase) -> None:
    """Rows encoded together and one by one are the same.

    Catches: statistics of the batch in place of the training rows'.
    """
    part, values = case.fitted()
    together = part.encode(values, place)
    for index, value in enumerate(values[:6]):
        alone, among = _row(part.encode([value], place), 0), _row(together, index)
        require(np.array_equal(alone, among), f"{value!r} is {alone} when alone, else {among}")


for _table in (FEATURE_CHECKS, TARGET_CHECKS):
    for _name, _check in (
        ("travels_to_other_processes", _pickled),
        ("rows_do_not_mix", _rows_alone),
        ("bad_values_are_refused", _bad_values),
        ("saved_and_loaded", _comes_back),
    ):
        _check.__name__ = _name
        _table.check()(_check)


@FEATURE_CHECKS.check(gate=True)
def steps_are_as_described(case: FeatureCase) -> Numbers:
    """``encode`` gives ids below ``info.size`` or finite numbers ``[T, info.size]`` a row.

    Catches: codes that the model's first layer cannot take.
    """
    feature, values = case.fitted()
    steps, info = feature.encode(values, place), feature.info
    require(isinstance(steps, Ragged) and len(steps) == len(values), f"encode gives {steps!r:.80}")
    require(info.name == "name", f"info.name is {info.name!r}")
    kinds = ("ids", "numeric", "pieces", "series")
    require(info.kind in kinds, f"info.kind is {info.kind!r}, not one of {', '.join(kinds)}")
    require(info.role == feature.role, f"role is {feature.role!r}, and info.role {info.role!r}")
    codes = steps.values
    if info.kind == "ids":
        require(codes.dtype.kind == "i" and codes.ndim == 1, f"ids are {codes.dtype} {codes.shape}")
        require(codes.min() >= 0 and codes.max() < info.size, f"ids up to {codes.max()}")
    elif info.kind == "pieces":
        wide = codes.dtype.kind == "i" and codes.shape[1:] == (1 + info.longest,)
        require(wide, f"pieces are {codes.dtype} {codes.shape}, not [N, {1 + info.longest}]")
        counts = codes[:, 0]
        require(counts.min() >= 0 and counts.max() <= info.longest, f"up to {counts.max()} pieces")
        require(codes[:, 1:].min() >= 0, "an id is negative")
        require(codes[:, 1:].max() < info.size, f"ids up to {codes[:, 1:].max()}")
    else:
        wanted = 1 + info.longest * info.size if info.kind == "series" else info.size
        require(codes.dtype == np.float32, f"numbers are {codes.dtype}, not float32")
        require(codes.shape[1:] == (wanted,), f"{codes.shape[1:]} numbers for {wanted}")
        require(np.isfinite(codes.astype(np.float64)).all(), "numbers are not finite")
    feature.decode(steps.row(0).tolist())
    return {"size": info.size}


@TARGET_CHECKS.check(gate=True)
def rows_are_as_described(case: TargetCase) -> Numbers:
    """``encode`` gives what ``layout`` says, and ``info`` has a kind and a size.

    Catches: targets that no batch can be made of.
    """
    target, values = case.fitted()
    codes, info = target.encode(values, place), target.info
    require(isinstance(info.kind, str) and info.kind, f"info.kind is {info.kind!r}")
    require(info.size >= 1, f"info.size is {info.size}")
    ragged = isinstance(codes, Ragged)
    require(ragged == (target.layout != "row"), f"layout '{target.layout}', encode gives {codes!r}")
    require(len(codes) == len(values), f"{len(values)} values gave {len(codes)} rows")
    return {"size": info.size}


@TARGET_CHECKS.check()
def answers_are_readable(case: TargetCase) -> None:
    """The codes of a row are decoded to JSON, and what is read is encoded as the same codes.

    Catches: a prediction that is right and is shown as another.
    """
    target, values = case.fitted()
    codes = target.encode(values, place)
    for index in range(min(6, len(values))):
        row = _row(codes, index)
        answer = np.flatnonzero(row).tolist() if target.info.kind == "labels" else row
        said = target.decode(answer)
        json.dumps(said, allow_nan=False)
        again = _row(target.encode([said], place), 0)
        what = f"{values[index]!r} is {row}, read as {said!r}, {again}"
        require(np.array_equal(again, row), what)


def _message(part: Any, values: Sequence[Any]) -> str:
    try:
        part.encode(values, place)
    except DataError as error:
        return str(error)
    return ""


def _row(codes: Any, index: int) -> Any:
    return codes.row(index) if isinstance(codes, Ragged) else codes[index]


def _codes(part: Any, values: Sequence[Any]) -> Any:
    codes = part.encode(values, place)
    return (codes.values, codes.lengths) if isinstance(codes, Ragged) else (codes,)


def _same(ours: Any, theirs: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
