"""Two tests of a recurrent net's memory, as sources for seqlab."""

from __future__ import annotations

import hashlib
import json
import random
from abc import abstractmethod
from typing import Annotated

import datasets
from seqlab import Source, row_counts
from seqlab.schema import Count, Range, Whole, checked

Row = dict[str, object]
AtLeastTen = Annotated[int, Range(least=10)]


class _Generated(Source):
    """Rows drawn by a seeded generator; a fifth of them is for testing."""

    title: str
    paper: str

    def __init__(self, rows: int, seed: int) -> None:
        self._count, self._seed = rows, seed
        self._loaded: dict[str, int] = {}
        self._digest = "not generated yet"

    @abstractmethod
    def _row(self, draw: random.Random) -> Row:
        """One row."""

    def load(self) -> datasets.DatasetDict:
        """The rows of ``train`` and ``test``."""
        draw = random.Random(self._seed)  # noqa: S311  data, not secrets
        rows = [self._row(draw) for _ in range(self._count)]
        self._digest = f"sha256:{hashlib.sha256(json.dumps(rows).encode()).hexdigest()}"
        end = len(rows) * 4 // 5
        loaded = datasets.DatasetDict(
            train=datasets.Dataset.from_list(rows[:end]),
            test=datasets.Dataset.from_list(rows[end:]),
        )
        self._loaded = row_counts(loaded)
        return loaded

    def describe(self) -> dict[str, object]:
        """The seed, and the checksum of all rows."""
        return {
            "name": f"{self.title}, seed {self._seed}",
            "origin": f"generated as {self.paper} describe it",
            "licence": "none needed; generated",
            "digest": self._digest,
            "rows": dict(self._loaded),
        }


class CopyMemorySource(_Generated):
    """Symbols to be repeated after a delay (Arjovsky et al., "Unitary evolution RNNs", 2016).

        tokens = s_1 .. s_10, blank * (delay - 1), go, blank * 10       delay + 20 symbols
        tags   = blank * (delay + 10), s_1 .. s_10                      as many

    s is drawn evenly from eight symbols. Columns ``tokens`` and ``tags``.

    Args:
        rows: how many sequences, training and test together.
        delay: steps between the symbols and the mark.
        seed: of the draws.

    Raises:
        OptionError: an option is no int in its range.

    Example:
        >>> row = CopyMemorySource(rows=10, delay=3).load()["test"][0]
        >>> row["tags"][-10:] == row["tokens"][:10], len(row["tokens"])
        (True, 23)
    """

    title = "copy memory"
    paper = "Arjovsky, Shah and Bengio (2016)"
    symbols = "abcdefgh"
    count = 10

    @checked
    def __init__(self, *, rows: AtLeastTen = 2500, delay: Count = 20, seed: Whole = 0) -> None:
        super().__init__(rows, seed)
        self._delay = delay

    def _row(self, draw: random.Random) -> Row:
        shown = draw.choices(self.symbols, k=self.count)
        gap = ["blank"] * (self._delay - 1)
        return {
            "tokens": [*shown, *gap, "go", *["blank"] * self.count],
            "tags": [*["blank"] * (self._delay + self.count), *shown],
        }


class TemporalOrderSource(_Generated):
    """The order of two symbols (Hochreiter and Schmidhuber, "Long short-term memory", 1997, 6a).

        tokens = E, distractors with u at t_1 and v at t_2, B
        label = uv

    u and v are X or Y; t_1 is in the second tenth of the sequence, t_2 in the sixth; distractors
    are a, b, c, d. Columns ``tokens`` and ``label``.

    Args:
        rows: how many sequences, training and test together.
        length: how many symbols a sequence has; up to a tenth more are drawn.
        seed: of the draws.

    Raises:
        OptionError: an option is no int in its range.

    Example:
        >>> row = TemporalOrderSource(rows=10).load()["train"][0]
        >>> row["label"] == "".join(token for token in row["tokens"] if token in "XY")
        True
    """

    title = "temporal order"
    paper = "Hochreiter and Schmidhuber (1997)"

    @checked
    def __init__(
        self, *, rows: AtLeastTen = 5000, length: AtLeastTen = 30, seed: Whole = 0
    ) -> None:
        super().__init__(rows, seed)
        self._length = length

    def _row(self, draw: random.Random) -> Row:
        tenth = self._length // 10
        length = self._length + draw.randint(0, tenth)
        tokens = ["E", *draw.choices("abcd", k=length - 2), "B"]
        label = ""
        for start in (tenth, 5 * tenth):
            symbol = draw.choice("XY")
            tokens[draw.randrange(start, start + tenth)] = symbol
            label += symbol
        return {"tokens": tokens, "label": label}
