"""Lines of UTF-8 text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from seqlab.data.splitting import is_blank
from seqlab.errors import DataError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class TextLines:
    """The lines of a file, with their line ends.

    An iterator that can go on behind a line that it refused.

    Args:
        stream: the open file.
        file: its name, for errors.
        before: how many lines were read already.
    """

    def __init__(self, stream: Iterable[bytes], file: str, before: int = 0) -> None:
        self._lines = iter(stream)
        self.file = file
        #: The last line, and its number from 1.
        self.text, self.number = "", before

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        data = next(self._lines)
        self.number += 1
        if self.number == 1:
            data = data.removeprefix(_BYTE_ORDER_MARK)
        try:
            self.text = data.decode()
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.file} line {self.number}: not UTF-8 text (byte 0x{data[error.start]:02x} "
                f"at position {error.start + 1}); save the file as UTF-8"
            ) from error
        return self.text


def stripped_lines(stream: BinaryIO, file: str) -> Iterator[tuple[int, str]]:
    """Numbered lines without their line ends; blank lines come as empty strings.

    Raises:
        DataError: a line is not UTF-8; the message names it and the byte.
    """
    for number, line in enumerate(TextLines(stream, file), start=1):
        text = line.rstrip("\r\n")
        yield number, "" if is_blank(text) else text


def rows_by_line(
    lines: TextLines, row_of: Callable[[str, str], Any], *, blank: bool = False
) -> Iterator[tuple[int, Any]]:
    """What ``row_of(text, where)`` makes of each line; a refused line comes as its error.

    Args:
        lines: those of a file.
        row_of: makes a row, or raises a DataError.
        blank: whether blank lines count; else they are passed over.
    """
    while True:
        try:
            text = next(lines).rstrip("\r\n")
            if not blank and is_blank(text):
                continue
            row: Any = row_of(text, f"{lines.file} line {lines.number}")
        except StopIteration:
            return
        except DataError as error:
            row = error
        yield lines.number, row
