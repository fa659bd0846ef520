"""``metrics.csv``: one row a step, with columns that grow."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqlab.errors import RunError
from seqlab.files import atomic_writer, reading, writing


def read_table(path: Path) -> list[dict[str, float | None]]:
    """The rows of a finished file; None where a row has no such value."""
    with path.open(encoding="utf-8", newline="") as stream:
        return [
            {name: float(value) if value else None for name, value in row.items()}
            for row in csv.DictReader(stream)
        ]


class MetricsFile:
    """A CSV file with one row a step, whose columns grow when a new name appears.

    Args:
        path: the file; rows of an earlier, killed run may stand in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: list[str] = []
        self.rows = 0

    def keep(self, rows: int) -> None:
        """Start after the first ``rows`` rows of the file; what follows them is dropped."""
        self.rows = 0
        self.columns = []
        kept: list[dict[str, str]] = []
        if rows and self.path.is_file():
            kept, self.columns = self._read(rows)
        self._rewrite(kept)

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row."""
        new = [name for name in row if name not in self.columns]
        if new:
            old = self._read(self.rows)[0] if self.rows else []
            # the time stays the last column
            self.columns = sorted([*self.columns, *new], key=lambda name: name == "seconds")
            self._rewrite(old)
        with writing(self.path), self.path.open("a", encoding="utf-8", newline="") as stream:
            csv.DictWriter(stream, self.columns).writerow(row)
        self.rows += 1

    def _read(self, rows: int) -> tuple[list[dict[str, str]], list[str]]:
        """The first rows, and the columns.

        Raises:
            RunError: the file holds something else.
        """
        with (
            reading(self.path, RunError, "the table of a run"),
            self.path.open(encoding="utf-8", newline="") as stream,
        ):
            reader = csv.DictReader(stream, strict=True)
            found = [row for _, row in zip(range(rows), reader, strict=False)]
            if len(found) < rows or any(None in row or None in row.values() for row in found):
                raise ValueError(f"{rows} whole rows were written")
            return found, list(reader.fieldnames or [])

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO(newline="")
        if self.columns:
            writer = csv.DictWriter(text, self.columns)
            writer.writeheader()
            writer.writerows(rows)
        with atomic_writer(self.path, parents=False) as stream:
            stream.write(text.getvalue().encode())
        self.rows = len(rows)
