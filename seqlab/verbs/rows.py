"""Rows of text, CSV, TSV and JSONL as they stream in, each with the place it stands at."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from seqlab.errors import ConfigError, DataError, did_you_mean

FORMATS = ("text", "csv", "tsv", "jsonl")
_ENDINGS = {".txt": "text", ".text": "text", ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl"}
_ENDINGS |= {".ndjson": "jsonl"}
_LONGEST = 1 << 24


def rows_format(source: str, given: str | None) -> str:
    """The format given, or the one that a file's ending says; standard input is text.

    >>> rows_format("words.csv", None), rows_format("-", None), rows_format("-", "jsonl")
    ('csv', 'text', 'jsonl')

    Raises:
        ConfigError: neither is known.
    """
    if given is not None:
        if given not in FORMATS:
            raise ConfigError(f"format: unknown '{given}'; {did_you_mean(given, FORMATS)}")
        return given
    if source == "-":
        return "text"
    ending = Path(source).suffix.lower()
    if ending not in _ENDINGS:
        raise ConfigError(
            f"input: the ending of {source} says no format; give format=text, csv, tsv or jsonl"
        )
    return _ENDINGS[ending]


def read_rows(stream: Iterable[bytes], name: str, form: str) -> Iterator[tuple[str, Any]]:
    """Pairs of place and row: a string of ``text``, any value of ``jsonl``, else a dict.

    Args:
        stream: the lines.
        name: how messages call the file.
        form: one of ``FORMATS``.

    Raises:
        DataError: a line is not UTF-8, not JSON, or has too few or too many fields; file and
            line are named.
    """
    lines = _decoded(stream, name)
    if form == "text":
        return ((f"{name} line {number}", line) for number, line in lines)
    if form == "jsonl":
        return _json_rows(lines, name)
    return _table_rows(lines, name, "\t" if form == "tsv" else ",")


def _decoded(stream: Iterable[bytes], name: str) -> Iterator[tuple[int, str]]:
    for number, raw in enumerate(stream, 1):
        if len(raw) > _LONGEST:
            raise DataError(f"{name} line {number}: longer than {_LONGEST} bytes")
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{name} line {number}: not UTF-8 ({error.reason})") from error
        yield number, line.rstrip("\r\n")


def _json_rows(lines: Iterator[tuple[int, str]], name: str) -> Iterator[tuple[str, Any]]:
    for number, line in lines:
        where = f"{name} line {number}"
        try:
            yield where, json.loads(line)
        except (ValueError, RecursionError) as error:
            found = "an empty line" if not line.strip() else line[:40]
            raise DataError(f"{where}: expected one JSON value, found {found!r}") from error


def _table_rows(
    lines: Iterator[tuple[int, str]], name: str, delimiter: str
) -> Iterator[tuple[str, dict[str, str]]]:
    last = 0

    def texts() -> Iterator[str]:
        nonlocal last
        for number, line in lines:
            last = number
            yield line + "\n"

    reader = csv.reader(texts(), delimiter=delimiter, strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise DataError(f"{name}: expected a first line with the names of columns, found none")
        if len(set(header)) < len(header):
            raise DataError(f"{name} line 1: a column's name stands twice: {', '.join(header)}")
        for fields in reader:
            where = f"{name} line {last}"
            if len(fields) != len(header):
                raise DataError(f"{where}: {len(fields)} fields, and the header has {len(header)}")
            yield where, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise DataError(f"{name} line {last}: {error}") from error
