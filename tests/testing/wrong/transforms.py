"""Transforms with one bug each. Do not use them; the kit must find them."""

from __future__ import annotations

import random

from seqlab import BundleError, Transform


class Lengths(Transform):
    """Right: adds the length of a column, less the mean length in training."""

    reads, makes = ("tokens",), ("length",)

    def __init__(self, *, factor: float = 1.0):
        self.factor = factor
        self.mean = 0.0

    def fit(self, rows):
        lengths = [self.length(row) for row in rows()]
        self.mean = sum(lengths) / len(lengths)

    def apply(self, rows, split):
        del split
        for row in rows:
            yield row.made({**row, "length": self.factor * (self.length(row) - self.mean)})

    def length(self, row):
        if not isinstance(row["tokens"], list):
            raise row.error("column 'tokens': expected a list")
        return len(row["tokens"])

    def state(self):
        return {"mean": self.mean}

    def restore(self, state):
        if not isinstance(state, dict) or not isinstance(state.get("mean"), float):
            raise BundleError("'mean' must be a number")
        self.mean = state["mean"]


class SwallowsOptions(Lengths):
    """Takes whatever is given."""

    def __init__(self, **options):
        del options
        super().__init__()


class ForgetsAColumn(Lengths):
    """Its second row has fewer columns."""

    def apply(self, rows, split):
        for row in super().apply(rows, split):
            yield row.made({n: v for n, v in row.items() if n != "label" or row.number != 1})


class HidesAColumn(Lengths):
    """Reads what it does not ask for."""

    reads = ()

    def length(self, row):
        if "tokens" not in row:
            raise row.missing("tokens")
        return super().length(row)


class ChangesItsInput(Lengths):
    """Turns the lists of others."""

    def apply(self, rows, split):
        for row in super().apply(rows, split):
            row["tokens"].reverse()
            yield row


class MixesNeighbours(Lengths):
    """Adds the length of the row before."""

    def apply(self, rows, split):
        before = 0.0
        for row in super().apply(rows, split):
            yield row.made({**row, "length": row["length"] + before})
            before = row["length"]


class TurnsTheSplit(Lengths):
    """The last row comes first."""

    whole = True

    def apply(self, rows, split):
        yield from reversed(list(super().apply(rows, split)))


class CrashesOnBadRows(Lengths):
    """Leaves it to Python to say what is wrong."""

    def length(self, row):
        return len(row["tokens"])


class NeedsARow(Lengths):
    """Looks at the first row before there is one."""

    def apply(self, rows, split):
        kept = list(rows)
        kept[0]["tokens"]
        yield from super().apply(kept, split)


class ForgetsTheMean(Lengths):
    """Nothing is kept."""

    def restore(self, state):
        super().restore(state)
        self.mean = 0.0


class KeepsALambda(Lengths):
    """Cannot be sent to another process."""

    def fit(self, rows):
        super().fit(rows)
        self.shift = lambda: self.mean


class DrawsAtRandom(Lengths):
    """Other rows on each pass."""

    def apply(self, rows, split):
        for row in super().apply(rows, split):
            yield row.made({**row, "length": random.SystemRandom().random()})
