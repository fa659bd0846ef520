"""Checks of raw values, a column at a time; the first bad row is named in the error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from seqlab.data.splitting import words_of
from seqlab.data.written_lists import written_list
from seqlab.errors import DataError

#: Says where the i-th value of a column stands: file and line, or split and row.
Where = Callable[[int], str]

_SHOWN = 60


def show(value: Any) -> str:
    """A value, short enough for one line of a message."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def refuse(where: str, column: str, expected: str, value: Any) -> DataError:
    """The error for a value of a wrong type."""
    found = "nothing (null)" if value is None else show(value)
    return DataError(f"{where}: column '{column}': expected {expected}, found {found}")


def texts(values: Sequence[Any], column: str, where: Where) -> Sequence[str]:
    """Strings that can be written as UTF-8."""
    if set(map(type, values)) - {str}:
        for index, value in enumerate(values):
            if not isinstance(value, str):
                raise refuse(where(index), column, "text", value)
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        index = next(i for i, value in enumerate(values) if not _encodable(value))
        raise refuse(where(index), column, "text in valid Unicode", values[index]) from None
    return values


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def token_lists(values: Sequence[Any], column: str, where: Where) -> list[list[str]]:
    """Lists of strings; a string is read as a list if it spells one, else cut at spaces."""
    rows: list[list[str]] = []
    for index, raw in enumerate(values):
        value = _entries(raw, column, where, index) if isinstance(raw, str) else raw
        if isinstance(value, (list, tuple)) and not set(map(type, value)) - {str}:
            rows.append(list(value))
        else:
            raise refuse(where(index), column, "a list of strings", value)
    return rows


def _entries(text: str, column: str, where: Where, row: int) -> list[Any]:
    """The entries of a cell of text."""
    try:
        found = written_list(text)
    except (ValueError, SyntaxError) as error:
        expected = "words with spaces between them, or a list as JSON or Python write it"
        raise refuse(where(row), column, expected, text) from error
    return words_of(text) if found is None else found


def label_names(values: Sequence[Any], column: str, where: Where) -> list[str]:
    """Class names: strings, whole numbers or truth values, all as strings."""
    if set(map(type, values)) == {str} and "" not in values:
        return list(values)
    names: list[str] = []
    for index, value in enumerate(values):
        if isinstance(value, (str, int)) and value != "":
            names.append(str(value))
        else:
            raise refuse(where(index), column, "a label (text or a whole number)", value)
    return names


def label_lists(values: Sequence[Any], column: str, where: Where) -> list[list[str]]:
    """Lists of labels; a string is read as a list if it spells one, else cut at spaces."""
    lists: list[list[str]] = []
    for row, value in enumerate(values):
        entries = _entries(value, column, where, row) if isinstance(value, str) else value
        if not isinstance(entries, (list, tuple)):
            raise refuse(where(row), column, "a list of labels", value)
        lists.append(label_names(entries, column, partial(_same_row, where, row)))
    return lists


def _same_row(where: Where, row: int, _entry: int) -> str:
    return where(row)


def accepted_lists(values: Sequence[Any], column: str, where: Where) -> list[list[Any]]:
    """The accepted answers of each row, at least one; what is no list is the only one.

    A string is read as a list if it spells one.
    """
    lists: list[list[Any]] = []
    for row, value in enumerate(values):
        found = value
        if isinstance(value, str):
            with contextlib.suppress(ValueError, SyntaxError):
                found = written_list(value)
            found = value if found is None else found
        answers = list(found) if isinstance(found, (list, tuple)) else [found]
        if not answers:
            raise refuse(where(row), column, "at least one accepted answer", value)
        lists.append(answers)
    return lists


def one_answer(values: Sequence[Any], column: str, where: Where, expected: str) -> Sequence[Any]:
    """The values, none of which may be a list.

    Raises:
        DataError: one is; the message says how to give several answers.
    """
    if not {list, tuple}.isdisjoint(map(type, values)):
        row = next(i for i, value in enumerate(values) if isinstance(value, (list, tuple)))
        several = f"{expected} (a list of accepted answers needs data.target.several=true)"
        raise refuse(where(row), column, several, values[row])
    return values


def tag_lists(values: Sequence[Any], column: str, where: Where) -> list[list[str]]:
    """Lists of tags: strings, or whole numbers as strings; text is read as by ``token_lists``."""
    rows = [
        _entries(value, column, where, row) if isinstance(value, str) else value
        for row, value in enumerate(values)
    ]
    if any(isinstance(value, (list, tuple)) and set(map(type, value)) - {str} for value in rows):
        return label_lists(rows, column, where)
    return token_lists(rows, column, where)
