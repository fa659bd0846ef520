"""Series of numbers: from lists, arrays or the cells of a CSV file to ``[T, D]``."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from seqlab.data import raw_columns
from seqlab.data.raw_columns import Where
from seqlab.data.written_lists import written_list
from seqlab.errors import DataError

Floats = npt.NDArray[np.float64]
_LARGEST = float(np.finfo(np.float32).max)
_COMMA = re.compile(r"\s*[+-]?\d*,\d+\s*")
_MISSING = {"", "na", "nan", "null"}
_EXPECTED = f"finite numbers within float32's range (up to {_LARGEST:.2g})"


def all_series(
    values: Sequence[Any], channels: int | None, column: str, where: Where
) -> tuple[Floats, list[int]]:
    """All rows' numbers end to end, ``[N, D]``, and each row's number of steps.

    Args:
        values: what ``series`` reads, one a row.
        channels: D, or None when any will do.
        column: for the error.
        where: for the error.

    Raises:
        DataError: as ``series``, for the first bad row.
    """
    flat = _joined(values)
    if flat is not None and channels in (None, flat.shape[1]) and _fits(flat):
        return flat, [len(value) for value in values]
    rows: list[Floats] = []
    for index, value in enumerate(values):
        rows.append(series(value, channels, column, where, index))
        if channels is None and len(rows[-1]):
            channels = rows[-1].shape[1]
    lengths = [len(row) for row in rows]
    filled = [row for row in rows if len(row)]
    return np.concatenate(filled) if filled else np.zeros((0, channels or 1)), lengths


def _joined(values: Sequence[Any]) -> Floats | None:
    """The usual case in one step: all rows lists, or all rows arrays, of the same form."""
    types = set(map(type, values))
    try:
        if types == {list}:
            flat = np.asarray(list(chain.from_iterable(values)))
        elif types == {np.ndarray}:
            flat = np.concatenate(values)
        else:
            return None
    except (ValueError, TypeError, OverflowError):
        return None
    try:
        wide = _floats(flat)
    except ValueError:
        return None
    if wide is None or not flat.size:
        return None
    return wide[:, None] if wide.ndim == 1 else wide


def series_with_gaps(
    value: Any, channels: int | None, column: str, where: Where, index: int, *, gaps: bool
) -> Floats:
    """As ``series``; with ``gaps`` missing numbers are NaN, which it else refuses."""
    if not gaps:
        return series(value, channels, column, where, index)
    entries = value.tolist() if isinstance(value, np.ndarray) else value
    if isinstance(entries, str):
        found = None
        with contextlib.suppress(ValueError, SyntaxError):
            found = written_list(entries)
        entries = entries.replace(",", " ").split() if found is None else found
    array = _as_array(_filled_steps(with_gaps(entries), channels))
    if array is None:
        return series(value, channels, column, where, index)
    given = np.isnan(array)
    filled = series(np.where(given, 0.0, array), channels, column, where, index)
    return np.where(given.reshape(filled.shape), np.nan, filled)


def series(value: Any, channels: int | None, column: str, where: Where, index: int) -> Floats:
    """One row's numbers as ``[T, D]``.

    Args:
        value: a list of numbers (D = 1), a list of rows of D numbers, an array, a list of
            texts of numbers, or a string of numbers (``0.5 1 2`` or ``[0.5, 1, 2]``), as a CSV file
            has them.
        channels: D, or None when any will do.
        column: for the error.
        where: for the error.
        index: which value of the column it is.

    Raises:
        DataError: not numbers, rows of different lengths, another D, or not finite.
    """
    array = _as_array(value)
    if array is None or np.isnan(array).any():
        _refuse_gaps(value, column, where, index)
    if array is None:
        expected = "a series of numbers, or of equally long rows of them"
        raise _not_numbers(where(index), column, expected, value)
    if array.size == 0:
        return np.zeros((0, channels or 1))
    if array.ndim == 1:
        array = array[:, None]
    if channels is not None and array.shape[1] != channels:
        expected = f"{channels} channels as in the training rows"
        raise raw_columns.refuse(where(index), column, expected, f"{array.shape[1]} channels")
    if not _fits(array):
        step = int(np.argwhere(~_within(array))[0][0])
        found = f"{array[step].tolist()} at step {step}"
        raise raw_columns.refuse(where(index), column, _EXPECTED, found)
    return array


def _not_numbers(where: str, column: str, expected: str, value: Any) -> DataError:
    """The error for what is no number, and what to do where it is one with a comma."""
    entries = value if isinstance(value, (list, tuple)) else [value]
    comma = any(isinstance(entry, str) and _COMMA.fullmatch(entry) for entry in entries)
    advice = "; write decimals with a point instead of the comma" if comma else ""
    return DataError(f"{raw_columns.refuse(where, column, expected, value)}{advice}")


def _refuse_gaps(value: Any, column: str, where: Where, index: int) -> None:
    """Name the first step of a series that is missing, if that is what is wrong with it."""
    entries = value.tolist() if isinstance(value, np.ndarray) else value
    for step, entry in enumerate(entries if isinstance(entries, (list, tuple)) else ()):
        if any(map(is_missing, entry if isinstance(entry, (list, tuple)) else [entry])):
            raise DataError(
                f"{where(index)}: column '{column}': expected {_EXPECTED}, found "
                f"{raw_columns.show(entry)} at step {step}; the transform fill mends gaps, and "
                "data.target.missing=mask leaves those of a target out"
            )


def _within(array: Floats) -> npt.NDArray[np.bool_]:
    """Where numbers are finite and stay so in float32; NaN is not."""
    return np.abs(array) <= _LARGEST


def _fits(array: Floats, *, gaps: bool = False) -> bool:
    fits = _within(array)
    return bool((fits | np.isnan(array) if gaps else fits).all())


def to_float32(
    values: Floats, lengths: Sequence[int], column: str, where: Where
) -> npt.NDArray[np.float32]:
    """Numbers of some rows as the model takes them.

    Args:
        values: the rows' numbers end to end, ``[N, D]``.
        lengths: how many of the N each row has.
        column: for the error.
        where: for the error.

    Raises:
        DataError: a number is too large for float32; the first such row is named.
    """
    if not _fits(values):
        bad = int(np.argwhere(~_within(values))[0][0])
        row = int(np.searchsorted(np.cumsum(lengths), bad, side="right"))
        number = values[bad][~_within(values[bad])][0]
        raise DataError(
            f"{where(row)}: column '{column}': expected {_EXPECTED}, found {number:g} after "
            "scaling by the training rows"
        )
    return values.astype(np.float32)


def row_of_numbers(
    value: Any, size: int | None, column: str, where: Where, row: int, *, gaps: bool = False
) -> list[float]:
    """One number, or as many as wanted, each within float32's range.

    Args:
        value: a number, a string of one, or a list of them.
        size: how many there must be, or None when any will do.
        column: for the error.
        where: for the error.
        row: which value of the column it is.
        gaps: take missing numbers, as NaN.

    Raises:
        DataError: not numbers, too large ones, or not as many.
    """
    entries = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(entries, (list, tuple)):
        entries = [entries]
    if gaps:
        entries = with_gaps(entries)
    try:
        found = [float(entry) for entry in entries if not isinstance(entry, bool)]
    except OverflowError:
        found = [math.inf] * len(entries)
    except (TypeError, ValueError):
        found = []
    if len(found) != len(entries):
        raise _not_numbers(where(row), column, "a number or a list of numbers", value)
    if not found or not _fits(np.array(found), gaps=gaps):
        raise raw_columns.refuse(where(row), column, _EXPECTED, value)
    if size is not None and len(found) != size:
        raise raw_columns.refuse(where(row), column, f"{size} numbers", value)
    return found


def _as_array(value: Any) -> Floats | None:
    """One or two dimensions of numbers, or None."""
    try:
        if isinstance(value, str):
            value = _parse_numbers(value)
        array = np.asarray(value)
        if array.size == 0:
            array = array.astype(np.float64)
        if array.dtype.kind == "O" and {type(n) for n in array.flat} <= {int, float}:
            array = array.astype(np.float64)  # ints beyond 64 bits
        return _floats(array)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None


def _floats(array: npt.NDArray[Any]) -> Floats | None:
    """Numbers, or text of them as tables have it, in one or two dimensions; None for others."""
    if array.dtype.kind not in "fiuU" or array.ndim not in (1, 2):
        return None
    return array.astype(np.float64)


def _parse_numbers(text: str) -> Any:
    stripped = text.strip()
    if stripped.startswith("["):
        return json.loads(stripped)
    return [float(part) for part in stripped.replace(",", " ").split()]


class Moments:
    """Running mean and variance, joined part by part (Chan, Golub and LeVeque, 1983).

    Args:
        channels: D.
    """

    def __init__(self, channels: int) -> None:
        self.counts = np.zeros(channels)
        self.mean = np.zeros(channels)
        self.squares = np.zeros(channels)

    def add(self, x_ND: Floats) -> None:
        """Take in more steps, ``[N, D]``; NaN is not counted."""
        known = ~np.isnan(x_ND)
        counts = known.sum(axis=0)
        mean = np.where(known, x_ND, 0.0).sum(axis=0) / np.maximum(counts, 1)
        total = np.maximum(self.counts + counts, 1)
        shift = np.where(counts > 0, mean - self.mean, 0.0)
        self.squares += np.where(known, (x_ND - mean) ** 2, 0.0).sum(axis=0)
        self.squares += shift**2 * (self.counts * counts / total)
        self.mean = self.mean + shift * (counts / total)
        self.counts = self.counts + counts

    @property
    def std(self) -> Floats:
        """Of the whole population; 1 for a channel that never varies."""
        std = np.sqrt(self.squares / np.maximum(self.counts, 1))
        return np.where(std > 1e-12 * np.maximum(1.0, np.abs(self.mean)), std, 1.0)


def with_gaps(entries: Any) -> Any:
    """A list in which missing numbers (null, and empty or ``NA`` in text) are NaN, at any depth.

    >>> with_gaps([1.5, None, ["NA", "2"]])
    [1.5, nan, [nan, '2']]
    """
    if isinstance(entries, (list, tuple)):
        return [with_gaps(entry) for entry in entries]
    return math.nan if is_missing(entries) else entries


def _filled_steps(entries: Any, channels: int | None) -> Any:
    """Steps that are missing as a whole, as so many missing numbers as others have.

    >>> _filled_steps([[1.0, 2.0], math.nan], None)
    [[1.0, 2.0], [nan, nan]]
    """
    rows = [e for e in entries if isinstance(e, list)] if isinstance(entries, list) else []
    width = len(rows[0]) if rows else (channels or 1)
    if not isinstance(entries, list) or (not rows and width == 1):
        return entries
    gap = [math.nan] * width
    return [list(gap) if isinstance(e, float) and math.isnan(e) else e for e in entries]


def is_missing(entry: Any) -> bool:
    """Null, NaN, or empty or ``NA`` in text."""
    if isinstance(entry, str):
        return entry.strip().lower() in _MISSING
    return entry is None or (isinstance(entry, float) and math.isnan(entry))


def number_in(entry: Any) -> float | None:
    """A finite number, or text of one; None for anything else."""
    if isinstance(entry, bool) or is_missing(entry):
        return None
    try:
        number = float(entry)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
