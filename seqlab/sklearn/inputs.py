"""What programs hold sequences in, as columns of rows: arrays, lists, data frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array, validate_data

from seqlab.errors import DataError
from sklearn.base import BaseEstimator

#: The column of inputs that have no names of their own.
COLUMN = "x"
_FORMS = (
    "an array [rows, steps] or [rows, steps, numbers], a list of arrays, of strings or of lists of "
    "strings, or a data frame with such columns"
)


@dataclass(frozen=True)
class Inputs:
    """Inputs as columns.

    Attributes:
        columns: a name to one value a row.
        kinds: a name to ``numeric``, ``text`` or ``tokens``.
    """

    columns: Mapping[str, Sequence[Any]]
    kinds: Mapping[str, str]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def rows(self) -> list[dict[str, Any]]:
        """The same row by row."""
        names = list(self.columns)
        return [
            dict(zip(names, row, strict=True)) for row in zip(*self.columns.values(), strict=True)
        ]

    def chosen(self, rows: Any) -> Inputs:
        """Some of the rows.

        Args:
            rows: ``[N]`` bool.
        """
        return Inputs(
            {name: list(compress(values, rows)) for name, values in self.columns.items()},
            self.kinds,
        )

    def features(self, tokenizer: Any) -> dict[str, dict[str, Any]]:
        """The features of a data spec.

        Args:
            tokenizer: of columns that hold text.
        """
        found: dict[str, dict[str, Any]] = {}
        for place, (column, kind) in enumerate(self.kinds.items()):
            name = column if column.isidentifier() else f"column_{place}"
            found[name] = {"column": column, "kind": kind}
            if kind == "text":
                found[name]["tokenizer"] = tokenizer
        return found


def read_inputs(estimator: BaseEstimator, X: Any, *, reset: bool) -> Inputs:
    """Inputs of ``fit`` (``reset``) or of ``predict``.

    Args:
        estimator: it gets ``n_features_in_`` and ``feature_names_in_``, or is held against them.
        X: one of the forms that ``seqlab.sklearn`` knows.
        reset: whether these are the rows to learn from.

    Raises:
        ValueError: it is of another form, or of another than the rows that were learnt from.
    """
    if _is_frame(X) and not _is_plain_frame(X):
        return _of_columns({str(name): list(X[name]) for name in X.columns})
    values = X.tolist() if _is_series(X) else X
    if isinstance(values, list | tuple) and not _is_rectangular(values):
        return _of_columns({COLUMN: list(values)})
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "OUS":
        return _of_columns({COLUMN: values.tolist()})
    return _of_array(estimator, values, reset=reset)


def read_weights(weights: Any, rows: int) -> Any:
    """``[N]`` float64 weights of rows; None where none are given.

    Raises:
        ValueError: they are of another form or number, below 0, or all 0.
    """
    if weights is None:
        return None
    found = np.asarray(weights, dtype=np.float64)
    if found.ndim == 0:
        found = np.full(rows, float(found))
    if found.ndim != 1 or len(found) != rows:
        raise DataError(f"sample_weight: expected {rows} numbers, got shape {found.shape}")
    if not np.isfinite(found).all() or (found < 0).any():
        row = int(np.flatnonzero(~(np.isfinite(found) & (found >= 0)))[0])
        raise DataError(f"sample_weight: row {row}: expected 0 or more, got {found[row]:g}")
    if not found.any():
        raise DataError("sample_weight: all weights are zero; at least one row must count")
    return found


def _of_array(estimator: BaseEstimator, X: Any, *, reset: bool) -> Inputs:
    """``[N, T]``: series of one number; ``[N, T, D]``: of D numbers."""
    if not hasattr(X, "ndim"):
        X = np.asarray(X)
    if X.ndim == 3:
        array = check_array(X, allow_nd=True, dtype=np.float64, estimator=estimator)
        _check_width(estimator, array.shape[2], reset=reset)
    else:
        array = validate_data(estimator, X, reset=reset, dtype=np.float64)
    return Inputs({COLUMN: list(array)}, {COLUMN: "numeric"})


def _of_columns(columns: Mapping[str, list[Any]]) -> Inputs:
    kinds = {name: _kind(name, values) for name, values in columns.items()}
    made = {
        name: [np.asarray(value, np.float64) for value in values]
        if kinds[name] == "numeric"
        else [list(value) for value in values]
        if kinds[name] == "tokens"
        else values
        for name, values in columns.items()
    }
    for name, values in made.items():
        if kinds[name] == "numeric":
            _check_finite(name, values)
    return Inputs(made, kinds)


def _kind(name: str, values: Sequence[Any]) -> str:
    """What a column holds, by its first row that says it."""
    if not values:
        raise DataError("Found array with 0 sample(s) while a minimum of 1 is required.")
    for row, value in enumerate(values):
        if isinstance(value, str):
            return "text"
        if not isinstance(value, list | tuple | np.ndarray):
            raise DataError(
                f"X: column '{name}' row {row}: a {type(value).__name__}; give {_FORMS}"
            )
        if len(value):
            return "tokens" if isinstance(value[0], str) else "numeric"
    return "numeric"


def _check_width(estimator: Any, width: int, *, reset: bool) -> None:
    if reset:
        estimator.n_features_in_ = width
    elif estimator.n_features_in_ != width:
        raise DataError(
            f"X has {width} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input"
        )


def _check_finite(name: str, values: Sequence[Any]) -> None:
    for row, value in enumerate(values):
        if not np.isfinite(value).all():
            raise DataError(f"X: column '{name}' row {row} contains NaN or infinity")


def _is_frame(X: Any) -> bool:
    return hasattr(X, "columns") and hasattr(X, "dtypes")


def _is_plain_frame(X: Any) -> bool:
    """Whether every column is of numbers, one a row: a table of series then."""
    return all(getattr(dtype, "kind", "O") in "biuf" for dtype in X.dtypes)


def _is_series(X: Any) -> bool:
    return hasattr(X, "tolist") and hasattr(X, "index") and not hasattr(X, "columns")


def _is_rectangular(values: Sequence[Any]) -> bool:
    """Whether lists are an array written down: numbers, all of one length."""
    try:
        return np.asarray(values).dtype.kind in "biuf"
    except ValueError:
        return False
