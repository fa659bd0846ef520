"""Rows in the objects that Python programs keep them in: data frames, tables, dicts of lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from seqlab.errors import DataError

_ADVICE = "give a list of rows, such as [{'text': ...}, ...]"
_RECORDS = {"orient": "records"}


def rows_in(inputs: Any, columns: Sequence[str], *, text: bool) -> Iterable[Any]:
    """One value for each row, whatever holds them.

    Args:
        inputs: rows, one row alone (a string or a mapping), or something that is held column by
            column: a table of pandas, polars, pyarrow or datasets, or a dict of lists.
        columns: the columns that will be read.
        text: whether a row's value is never a list, so that a dict of lists can only be columns;
            else lists of lists are.

    >>> rows_in({"text": ["a", "b"], "id": [1, 2]}, ["text"], text=True)
    [{'text': 'a'}, {'text': 'b'}]

    Raises:
        DataError: it cannot be told where one row ends.
    """
    if isinstance(inputs, (str, bytes)):
        return [inputs]
    if isinstance(inputs, Mapping):
        return _of_mapping(inputs, columns, text=text)
    by_row = hasattr(inputs, "features")  # a data set of Hugging Face
    if not by_row and (hasattr(inputs, "columns") or hasattr(inputs, "column_names")):
        return _of_table(inputs)
    if hasattr(inputs, "to_pylist"):
        values: Iterable[Any] = inputs.to_pylist()
    elif isinstance(inputs, Iterable):
        values = inputs
    else:
        raise DataError(f"inputs: a {type(inputs).__name__} has no rows; {_ADVICE}")
    return values


def _of_mapping(inputs: Mapping[str, Any], columns: Sequence[str], *, text: bool) -> Iterable[Any]:
    """One row, or the rows of a dict of columns."""
    held = {name: _as_list(inputs[name]) for name in columns if name in inputs}
    if len(held) < len(columns) or not any(_is_column(value, text=text) for value in held.values()):
        return [inputs]
    lists = {name: value for name, value in held.items() if value is not None}
    if len(lists) < len(held) or len(set(map(len, lists.values()))) > 1:
        sizes = ", ".join(f"{n}: {'one value' if v is None else len(v)}" for n, v in held.items())
        raise DataError(f"inputs: columns of different lengths ({sizes}); {_ADVICE}")
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _is_column(value: list[Any] | None, *, text: bool) -> bool:
    """Whether a list holds a value for each row, and is not the value of one row."""
    if value is None or text:
        return value is not None
    inner = [_as_list(entry) for entry in value]
    parts = [part for entry in inner for part in entry or ()]
    lists_alone = all(isinstance(part, str) or _as_list(part) is not None for part in parts)
    return bool(parts) and None not in inner and lists_alone


def _as_list(value: Any) -> list[Any] | None:
    """The entries of a list, an array or a column; None for a single value."""
    if isinstance(value, (list, tuple)):
        return list(value)
    for method in ("to_pylist", "tolist", "to_list"):
        convert = getattr(value, method, None)
        if callable(convert):
            found = convert()
            return found if isinstance(found, list) else None
    return None


def _of_table(inputs: Any) -> list[Any]:
    """The rows of an object that is held column by column.

    Raises:
        DataError: it cannot give them.
    """
    for method, options in (("to_pylist", {}), ("to_dicts", {}), ("to_dict", _RECORDS)):
        convert = getattr(inputs, method, None)
        if callable(convert):
            rows = convert(**options)
            return [{str(name): value for name, value in row.items()} for row in rows]
    if hasattr(inputs, "__arrow_c_stream__"):
        import pyarrow as pa

        found: list[Any] = pa.table(inputs).to_pylist()
        return found
    raise DataError(f"inputs: a {type(inputs).__name__} is held column by column; {_ADVICE}")
