"""Lines of UTF-8 text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from seqlab.errors import DataError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def decoded_lines(stream: BinaryIO, file: str) -> Iterator[str]:
    """The lines of a file, with their line ends.

    Raises:
        DataError: a line is not UTF-8; the message names it and the byte.
    """
    for number, line in enumerate(stream, start=1):
        data = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
        try:
            yield data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{file} line {number}: not UTF-8 text (byte 0x{data[error.start]:02x} at "
                f"position {error.start + 1}); save the file as UTF-8"
            ) from error


def stripped_lines(stream: BinaryIO, file: str) -> Iterator[tuple[int, str]]:
    """Numbered lines without their line ends; blank lines come as empty strings."""
    for number, line in enumerate(decoded_lines(stream, file), start=1):
        text = line.rstrip("\r\n")
        yield number, text if text.strip() else ""
