"""Tasks that need a memory: adding, copying, temporal order."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

import datasets
import numpy as np
from seqlab import Source, row_counts
from seqlab.schema import Range, Whole, checked

Task = Literal["adding", "copy", "temporal_order"]
_SPLITS = ("train", "validation", "test")
_SYMBOLS, _COPIED = "abcdefgh", 5


class MemoryTaskSource(Source):
    """Sequences whose answer lies so many steps back, generated.

    ``adding`` (Hochreiter and Schmidhuber, 1997, task 4): ``series`` holds a number from 0 to 1 and
    a mark at each of ``length`` steps; ``value`` is the sum of the two numbers that are marked, one
    in each half. Always answering 1 has a mean squared error of 1/6.

    ``copy`` (the same, task 2; in this form Arjovsky et al., 2016): five symbols of eight, then
    ``length`` blanks, then five cues; ``tags`` asks for the symbols at the cues, in order, and for
    ``-`` before.

    ``temporal_order`` (the same, task 6a): among ``length`` distractors stand X or Y near the
    begin and again near the middle; ``label`` is which: XX, XY, YX or YY.
    Guessing is right in a quarter.

    Args:
        task: which of them.
        length: how far back the answer lies, in steps.
        rows: of training; a quarter as many for validation, half as many for the test.
        seed: of the generator.

    Example:
        >>> source = MemoryTaskSource(task="copy", length=4, rows=8)
        >>> row = source.load()["train"][0]
        >>> row["tokens"][5:], row["tags"][-5:] == row["tokens"][:5]
        (['-', '-', '-', '-', '?', '?', '?', '?', '?'], True)
    """

    @checked
    def __init__(
        self,
        *,
        task: Task = "adding",
        length: Annotated[int, Range(least=4)] = 50,
        rows: Annotated[int, Range(least=4)] = 2000,
        seed: Whole = 0,
    ) -> None:
        self._task, self._length, self._count, self._seed = task, length, rows, seed
        self._rows: dict[str, int] = {}
        self._digest = "not generated yet"

    def load(self) -> datasets.DatasetDict:
        """The rows of ``train``, ``validation`` and ``test``."""
        draw = np.random.default_rng([self._seed, self._length])
        counts = (self._count, self._count // 4, self._count // 2)
        make = {"adding": _adding, "copy": _copy, "temporal_order": _temporal_order}[self._task]
        rows = {
            split: [make(draw, self._length) for _ in range(count)]
            for split, count in zip(_SPLITS, counts, strict=True)
        }
        self._digest = f"sha256:{hashlib.sha256(json.dumps(rows).encode()).hexdigest()}"
        loaded = datasets.DatasetDict(
            {split: datasets.Dataset.from_list(part) for split, part in rows.items()}
        )
        self._rows = row_counts(loaded)
        return loaded

    def describe(self) -> dict[str, object]:
        """The task, and the checksum of all rows."""
        return {
            "name": f"{self._task} over {self._length} steps, seed {self._seed}",
            "origin": "generated, after Hochreiter and Schmidhuber (1997)",
            "licence": "generated",
            "digest": self._digest,
            "rows": dict(self._rows),
        }


def _adding(draw: np.random.Generator, length: int) -> dict[str, Any]:
    numbers, marks = draw.random(length).round(6), np.zeros(length)
    marked = [int(draw.integers(length // 2)), int(draw.integers(length // 2, length))]
    marks[marked] = 1
    series = np.stack([numbers, marks], axis=1)
    return {"series": series.tolist(), "value": float(numbers[marked].sum())}


def _copy(draw: np.random.Generator, length: int) -> dict[str, Any]:
    symbols = [_SYMBOLS[i] for i in draw.integers(len(_SYMBOLS), size=_COPIED)]
    blanks = ["-"] * length
    return {
        "tokens": [*symbols, *blanks, *["?"] * _COPIED],
        "tags": [*["-"] * (_COPIED + length), *symbols],
    }


def _temporal_order(draw: np.random.Generator, length: int) -> dict[str, Any]:
    tokens = ["abcd"[i] for i in draw.integers(4, size=length)]
    label = ""
    for begin in (length // 10, length // 2):
        label += "XY"[draw.integers(2)]
        tokens[begin + int(draw.integers(1 + length // 10))] = label[-1]
    return {"tokens": tokens, "label": label}
