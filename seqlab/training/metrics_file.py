"""``metrics.csv``: one row a step, with columns that grow."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqlab.files import atomic_writer, writing


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
            with self.path.open(encoding="utf-8", newline="") as stream:
                reader = csv.DictReader(stream)
                kept = [row for _, row in zip(range(rows), reader, strict=False)]
                self.columns = list(reader.fieldnames or [])
        self._rewrite(kept)

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row."""
        new = [name for name in row if name not in self.columns]
        if new:
            old: list[dict[str, str]] = []
            if self.rows:
                with self.path.open(encoding="utf-8", newline="") as stream:
                    old = list(csv.DictReader(stream))
            # the time stays the last column
            self.columns = sorted([*self.columns, *new], key=lambda name: name == "seconds")
            self._rewrite(old)
        with writing(self.path), self.path.open("a", encoding="utf-8", newline="") as stream:
            csv.DictWriter(stream, self.columns).writerow(row)
        self.rows += 1

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO(newline="")
        if self.columns:
            writer = csv.DictWriter(text, self.columns)
            writer.writeheader()
            writer.writerows(rows)
        with atomic_writer(self.path, parents=False) as stream:
            stream.write(text.getvalue().encode())
        self.rows = len(rows)
