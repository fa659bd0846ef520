"""The ts format of the UEA and UCR time series archive (Bagnall et al., 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from seqlab.data.formats.base import Format, Numbered
from seqlab.data.formats.lines import stripped_lines
from seqlab.data.splitting import words_of
from seqlab.errors import DataError


class TSFormat(Format):
    """Series with a class, as the UEA and UCR archive has them: ``series``, ``label``.

    After ``@data`` each line is one series: its channels with ``:`` between them, numbers with
    ``,`` between them, the class last. ``series`` has T rows of D numbers. Time stamps, series
    without a class and missing values (``?``) are refused.
    """

    @staticmethod
    def example() -> bytes:
        """Two series of two channels."""
        return b"@problemName pairs\n@data\n1,2,3:4,5,6:up\n3,2:6,5:down\n"

    def read(self, stream: BinaryIO, file: str) -> Iterator[Numbered]:
        """A row for each series."""
        channels: int | None = None
        begun = False
        for line, text in stripped_lines(stream, file):
            if not text or text.startswith("#"):
                continue
            if begun:
                try:
                    columns, label = _channels(text, f"{file} line {line}", channels)
                except DataError as error:
                    yield line, error
                    continue
                channels = len(columns)
                steps = [list(step) for step in zip(*columns, strict=True)]
                yield line, {"series": steps, "label": label}
            elif text.lower().startswith("@data"):
                begun = True
            elif words_of(text.lower()) in (["@timestamps", "true"], ["@classlabel", "false"]):
                raise DataError(
                    f"{file} line {line}: series with time stamps or without classes are not read"
                )
        if not begun:
            raise DataError(f"{file}: no line '@data', so this is not a ts file")


def _channels(text: str, where: str, known: int | None) -> tuple[list[list[float]], str]:
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
    if known not in (None, len(columns)):
        raise DataError(f"{where}: {len(columns)} channels, the lines before have {known}")
    return columns, label.strip()
