"""The checks of a file format."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from seqlab.data.formats.base import Format
from seqlab.errors import DataError
from seqlab.testing.case import Case
from seqlab.testing.compare import require
from seqlab.testing.contract import class_table
from seqlab.testing.result import Failure, Numbers

NAME = "a.file"
#: Damaged copies of the example that are read.
DAMAGED = 300


class Pipe(io.RawIOBase):
    """Bytes that come once and in small pieces, as from standard input.

    Args:
        content: all of them.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._left = io.BytesIO(content)

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """At most seven bytes."""
        data = self._left.read(min(7, len(buffer)))
        buffer[: len(data)] = data
        return len(data)


@dataclass(frozen=True)
class FormatCase(Case):
    """A format class with its options."""

    kind = "format"

    def format(self) -> Format:
        """A new one."""
        made: Format = self.part(**self.options)
        return made

    def rows(self, content: bytes | None = None) -> list[tuple[int, Any]]:
        """The rows of the example, or of other bytes."""
        data = self.part.example() if content is None else content
        return list(self.format().read(io.BytesIO(data), NAME))


FORMAT_CHECKS = class_table(Format)


@FORMAT_CHECKS.check(gate=True)
def example_is_read(case: FormatCase) -> Numbers:
    """Its example has two rows or more, all with the same columns, each with its line.

    Catches: formats that are documented and cannot be read.
    """
    require(case.part.example(), "example() is empty: give a small file as bytes")
    rows = case.rows()
    require(len(rows) > 1, f"the example has {len(rows)} rows; two are needed at least")
    for entry in rows:
        require(isinstance(entry, tuple) and len(entry) == 2, f"read gives {entry!r:.80}")
        line, row = entry
        require(isinstance(line, int) and line > 0, f"a row's line is {line!r}")
        require(isinstance(row, dict), f"the example's row at {line} is {row!r:.80}")
        require(all(isinstance(name, str) for name in row), f"columns are text, not {list(row)}")
        require(row.keys() == rows[0][1].keys(), f"columns {list(row)} at {line}")
    lines = [line for line, _ in rows]
    require(lines == sorted(lines), f"lines go back: {lines}")
    return {"rows": len(rows), "columns": len(rows[0][1])}


@FORMAT_CHECKS.check()
def reading_keeps_no_state(case: FormatCase) -> None:
    """One object reads two files at the same time as it reads them one by one.

    Catches: state on the object, which mixes the files of a data set.
    """
    made, expected = case.format(), case.rows()
    streams = [made.read(io.BytesIO(case.part.example()), NAME) for _ in range(2)]
    pairs = list(zip(*streams, strict=True))
    for number in range(2):
        require([pair[number] for pair in pairs] == expected, "two files at once are mixed up")


@FORMAT_CHECKS.check()
def standard_input_is_read(case: FormatCase) -> None:
    """A pipe, which cannot be rewound and gives a few bytes at a time, is read alike.

    Catches: formats that predict cannot read from standard input.
    """
    stream = io.BufferedReader(Pipe(case.part.example()))
    require(list(case.format().read(stream, NAME)) == case.rows(), "a pipe gives other rows")


@FORMAT_CHECKS.check()
def inputs_are_rows(case: FormatCase) -> Numbers:
    """``inputs`` gives one input for each row at least, in order, and none is refused.

    Catches: predictions that lose rows.
    """
    given = list(case.format().inputs(io.BytesIO(case.part.example()), NAME))
    require(len(given) >= len(case.rows()), f"{len(given)} inputs of {len(case.rows())} rows")
    for line, value in given:
        require(not isinstance(value, DataError), f"the input at {line} is refused: {value}")
    return {"inputs": len(given)}


@FORMAT_CHECKS.check()
def damaged_files_are_refused_in_one_line(case: FormatCase) -> Numbers:
    """Cut, flipped and foreign bytes give rows, or a DataError of one line that names the file.

    Catches: tracebacks of a parser inside; messages that do not say which file is bad.
    """
    refused = 0
    for content in damaged(case.part.example(), DAMAGED):
        try:
            problems = [row for _, row in case.rows(content) if isinstance(row, DataError)]
        except DataError as error:
            problems = [error]
        except Exception as error:
            raise Failure(f"{type(error).__name__} for {content!r:.80}: {error}") from error
        for problem in problems:
            text = str(problem)
            require(text.startswith(NAME), f"the message does not begin with the file: {text:.80}")
            require("\n" not in text and len(text) < 1000, f"a message of {len(text)} letters")
        refused += bool(problems)
    return {"files": DAMAGED, "refused": refused}


def damaged(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Copies of a file with bytes changed, cut off, doubled or replaced."""
    draw = random.Random(seed)  # noqa: S311 - damage needs no secrecy
    for number in range(count):
        copy = bytearray(content)
        kind = number % 4
        if kind == 0:
            for _ in range(draw.randint(1, 4)):
                copy[draw.randrange(len(copy))] = draw.randrange(256)
        elif kind == 1:
            del copy[draw.randrange(len(copy)) :]
        elif kind == 2:
            start, end = sorted(draw.randrange(len(copy) + 1) for _ in range(2))
            copy[start:start] = copy[start:end]
        else:
            copy = bytearray(draw.randbytes(draw.randrange(200)))
        yield bytes(copy)
