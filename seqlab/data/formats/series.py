"""The ts format of the UEA and UCR time series archive (Bagnall et al., 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from seqlab.data.formats.lines import stripped_lines
from seqlab.errors import DataError


def read_ts(stream: BinaryIO, file: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Series with a class: ``series`` (T rows of D numbers) and ``label``.

    After ``@data`` each line is one series: its channels with ``:`` between them, numbers
    with ``,`` between them, the class last.

    Raises:
        DataError: no ``@data`` line, time stamps, a line without class, numbers that are none,
            missing values (``?``), or channels of different lengths.
    """
    channels: int | None = None
    begun = False
    for line, text in stripped_lines(stream, file):
        where = f"{file} line {line}"
        if not text or text.startswith("#"):
            continue
        if begun:
            columns, label = _channels(text, where)
            channels = len(columns) if channels is None else channels
            if len(columns) != channels:
                raise DataError(
                    f"{where}: {len(columns)} channels, the lines before have {channels}"
                )
            yield (
                line,
                {"series": [list(step) for step in zip(*columns, strict=True)], "label": label},
            )
        elif text.lower().startswith("@data"):
            begun = True
        elif text.lower().split() in (["@timestamps", "true"], ["@classlabel", "false"]):
            raise DataError(f"{where}: series with time stamps or without classes are not read")
    if not begun:
        raise DataError(f"{file}: no line '@data', so this is not a ts file")


def _channels(text: str, where: str) -> tuple[list[list[float]], str]:
    *parts, label = text.split(":")
    if not parts or not label.strip():
        raise DataError(f"{where}: expected channels and a class with ':' between them")
    try:
        columns = [[float(number) for number in part.split(",")] for part in parts]
    except ValueError as error:
        raise DataError(f"{where}: not a number ({error})") from error
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise DataError(f"{where}: channels of different lengths, {sorted(lengths)}")
    return columns, label.strip()
