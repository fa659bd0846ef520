"""Lists of numbers that stand in the code of a package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import BinaryIO

from seqlab import DataError, Format
from seqlab.data.formats.base import Numbered

_NUMBERS = (int, float)


class PythonListFormat(Format):
    """The longest list of numbers that a Python file spells out: ``index``, ``value``.

    The file is parsed, and never run.
    """

    suffixes = (".py",)
    unit = "row"

    @staticmethod
    def example() -> bytes:
        """A function with a list."""
        return b"def load():\n    return array([22262, 21756,\n                  22247])\n"

    def read(self, stream: BinaryIO, file: str) -> Iterator[Numbered]:
        """A row for each number, counted from 0."""
        try:
            tree = ast.parse(stream.read())
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise DataError(f"{file}: not a Python file ({error})") from error
        lists = [found for node in ast.walk(tree) if (found := _numbers(node))]
        if not lists:
            raise DataError(f"{file}: no list of numbers in it")
        for index, value in enumerate(max(lists, key=len)):
            yield index + 1, {"index": index, "value": value}


def _numbers(node: ast.AST) -> list[float]:
    """The numbers of a list; empty for anything else."""
    if not isinstance(node, ast.List):
        return []
    try:
        values = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return []
    return values if all(type(value) in _NUMBERS for value in values) else []
