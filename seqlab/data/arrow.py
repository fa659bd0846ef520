"""Columns of Arrow tables as Python values; series of numbers without a detour through lists."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa


def rows_of(column: pa.ChunkedArray) -> list[Any]:
    """A column's values: arrays for lists of fractions, Python's own types for the rest."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    rows = _series(array)
    found: list[Any] = array.to_pylist() if rows is None else rows
    return found


def _series(array: Any) -> list[Any] | None:
    """Lists of fractions, or of equally long lists of them, as one array a row; else None."""
    if not _is_list(array.type) or array.null_count or not len(array):
        return None
    ends = array.offsets.to_numpy()
    inner, width = array.values, None
    if _is_list(inner.type):
        steps = inner.offsets.to_numpy()[ends[0] : ends[-1] + 1]
        widths = np.diff(steps)
        if inner.null_count or not len(widths) or (widths != widths[0]).any() or not widths[0]:
            return None
        width, ends = int(widths[0]), ends - ends[0]
        inner = inner.values.slice(steps[0], steps[-1] - steps[0])
    # whole numbers may be labels or tags, and stay lists
    if inner.null_count or not pa.types.is_floating(inner.type):
        return None
    flat = inner.to_numpy()
    if width is not None:
        flat = flat.reshape(-1, width)
    return [flat[start:end] for start, end in pairwise(ends.tolist())]


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))
