"""The rules that hold rows out: at random, from the end, folds, by number, file or column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np

from seqlab.data.order import Indices, by_class, evenly
from seqlab.data.raw_columns import Where, refuse
from seqlab.data.sources.base import SPLITS
from seqlab.data.times import time_of
from seqlab.errors import DataError
from seqlab.schema import Count, Fraction, Name, Range, Whole

HELD_OUT = SPLITS[1:]


class Rows(NamedTuple):
    """What a rule may look at.

    Args:
        total: how many rows there are.
        files: each one's file.
        values: for each of the columns that the rule needs, each one's value.
        where: where a row stands, for errors.
    """

    total: int
    files: Sequence[str]
    values: Mapping[str, Sequence[Any]]
    where: Where


class Rule:
    """How to divide rows into splits; all that are not held out are training rows."""

    by: str
    validation: Any
    test: Any

    #: The options that name columns.
    named: ClassVar[tuple[str, ...]] = ()

    @property
    def needs(self) -> dict[str, str | None]:
        """The columns whose values decide, each with the config key that names it."""
        given = {name: getattr(self, name) for name in self.named}
        return {column: f"source.split.{name}" for name, column in given.items() if column}

    def held_out(self, rows: Rows) -> dict[str, Indices]:
        """The rows of ``validation`` and ``test``, in their order."""
        raise NotImplementedError

    def seen(self, rows: Rows) -> dict[str, Indices]:
        """The rows that ``validation`` and ``test`` have: those held out, or more."""
        return self.held_out(rows)

    def _fractions(self, order: Indices, total: int) -> dict[str, Indices]:
        """The end of an order, the test rows last."""
        found, end = {}, total
        for name, size in self._sizes(total).items():
            found[name] = np.sort(order[end - size : end])
            end -= size
        return found

    def _sizes(self, count: int) -> dict[str, int]:
        """The number of rows held out for the test, then for validation."""
        parts = {name: getattr(self, name) or 0 for name in reversed(HELD_OUT)}
        return {
            name: part if part >= 1 else count - int(count * (1 - part) + 1e-9)
            for name, part in parts.items()
        }


@dataclass(frozen=True)
class FractionRule(Rule):
    """Fractions drawn at random.

    With ``stratify`` each value of a column has its share; with ``group`` the rows of each value
    stay together, and the fractions are of the values.
    """

    named = ("stratify", "group")
    by: Literal["fraction"] = "fraction"
    validation: Fraction | None = None
    test: Fraction | None = None
    seed: Whole = 0
    stratify: Name | None = None
    group: Name | None = None

    def held_out(self, rows: Rows) -> dict[str, Indices]:
        """See the base class."""
        random = np.random.default_rng(self.seed)
        if self.group is not None:
            groups, total = _numbers(rows.values[self.group])
            chosen = self._fractions(random.permutation(total), total)
            return {n: np.flatnonzero(np.isin(groups, numbers)) for n, numbers in chosen.items()}
        order = random.permutation(rows.total)
        if self.stratify is None:
            return self._fractions(order, rows.total)
        found, order = {}, by_class(order, rows.values[self.stratify])
        for name, size in self._sizes(rows.total).items():
            places = evenly(len(order), size)
            found[name] = np.sort(order[places])
            order = np.delete(order, places)
        return found


@dataclass(frozen=True)
class TailRule(Rule):
    """Fractions, or numbers of rows, from the end, the test rows last.

    The end is that of the file, or with ``order``, a column of times, the latest rows; with
    ``each``, a column, that of the rows of each of its values. With ``context`` so many rows before
    a part come with it, for windows to look back at: the first window of as many steps is followed
    by the part's first row.
    """

    named = ("order", "each")
    by: Literal["tail"] = "tail"
    validation: Fraction | Count | None = None
    test: Fraction | Count | None = None
    order: Name | None = None
    each: Name | None = None
    context: Whole = 0

    def held_out(self, rows: Rows) -> dict[str, Indices]:
        """See the base class."""
        return self._parts(rows, 0)

    def seen(self, rows: Rows) -> dict[str, Indices]:
        """The rows held out, with those before them."""
        return self._parts(rows, self.context)

    def _parts(self, rows: Rows, before: int) -> dict[str, Indices]:
        times = np.arange(rows.total)
        if self.order is not None:
            times = _places(rows, self.order)
        groups = np.zeros(rows.total, np.int64)
        if self.each is not None:
            groups, _ = _numbers(rows.values[self.each])
        found: dict[str, list[Indices]] = {name: [] for name in HELD_OUT}
        for members in _members(groups):
            order = members[np.argsort(times[members], kind="stable")]
            for name, part in self._tails(order, times, before).items():
                found[name].append(part)
        return {n: np.sort(np.concatenate(parts)) for n, parts in found.items() if parts}

    def _tails(self, order: Indices, times: Indices, before: int) -> dict[str, Indices]:
        """The ends of rows in their order; rows of one time are on one side."""
        found, end = {}, len(order)
        for name, wanted in self._sizes(len(order)).items():
            start, size = end, min(wanted, end)
            if size:
                start = int(np.searchsorted(times[order[:end]], times[order[end - size]]))
            found[name] = order[max(start - before, 0) : end] if size else order[:0]
            end = start
        return found


@dataclass(frozen=True)
class FoldsRule(Rule):
    """Cross-validation: of ``folds`` parts drawn at random, part ``fold`` is the test.

    With ``stratify`` each part has each value of a column as often as the others, by one row at
    most; with ``group`` the rows of each value of a column are in one part.
    """

    #: The test is always there; validation rows are held out of the training rows.
    validation = None
    test = True
    named = ("stratify", "group")
    folds: Annotated[int, Range(least=2)]
    fold: Whole
    by: Literal["folds"] = "folds"
    seed: Whole = 0
    stratify: Name | None = None
    group: Name | None = None

    def held_out(self, rows: Rows) -> dict[str, Indices]:
        """See the base class."""
        random = np.random.default_rng(self.seed)
        if self.group is not None:
            groups, total = _numbers(rows.values[self.group])
            self._check_enough(total, f"values of '{self.group}'")
            order = random.permutation(total)
            return {"test": np.flatnonzero(np.isin(groups, order[self.fold :: self.folds]))}
        self._check_enough(rows.total, "rows")
        order = random.permutation(rows.total)
        if self.stratify is not None:
            order = by_class(order, rows.values[self.stratify])
        return {"test": np.sort(order[self.fold :: self.folds])}

    def _check_enough(self, total: int, what: str) -> None:
        """Refuse folds without rows, whichever fold is asked for."""
        if total < self.folds:
            raise DataError(
                f"source.split.folds: {self.folds} folds of {total} {what} leave some empty; "
                f"give at most {total}"
            )


@dataclass(frozen=True)
class ModulusRule(Rule):
    """Row i goes to the split that lists ``i % modulus``."""

    modulus: Count
    by: Literal["modulus"] = "modulus"
    validation: list[Whole] | None = None
    test: list[Whole] | None = None

    def held_out(self, rows: Rows) -> dict[str, Indices]:
        """See the base class."""
        keys = np.arange(rows.total) % self.modulus
        return {name: np.flatnonzero(np.isin(keys, getattr(self, name) or [])) for name in HELD_OUT}


@dataclass(frozen=True)
class MemberRule(Rule):
    """Rows go by their file; ``*`` and ``?`` in a listed name stand for any characters."""

    by: Literal["member"] = "member"
    validation: list[str] | None = None
    test: list[str] | None = None

    def held_out(self, rows: Rows) -> dict[str, Indices]:
        """See the base class."""
        listed = {name: getattr(self, name) or [] for name in HELD_OUT}
        return {
            name: np.flatnonzero([_fits(file, patterns) for file in rows.files])
            for name, patterns in listed.items()
        }


@dataclass(frozen=True)
class ColumnRule(Rule):
    """Rows go by their value of a column, of which each split lists some."""

    named = ("column",)
    column: Name
    by: Literal["column"] = "column"
    validation: list[Any] | None = None
    test: list[Any] | None = None

    def held_out(self, rows: Rows) -> dict[str, Indices]:
        """See the base class."""
        listed = {name: set(map(str, getattr(self, name) or ())) for name in HELD_OUT}
        return {
            name: np.flatnonzero([str(value) in values for value in rows.values[self.column]])
            for name, values in listed.items()
        }


def _numbers(values: Sequence[Any]) -> tuple[Indices, int]:
    """Each value's number, by when it first occurs, and how many different ones there are."""
    known: dict[str, int] = {}
    numbers = [known.setdefault(str(value), len(known)) for value in values]
    return np.array(numbers, np.int64), len(known)


def _members(groups: Indices) -> list[Indices]:
    """The rows of each group."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def _places(rows: Rows, column: str) -> Indices:
    """Each row's place in time; rows of one time have the same."""
    values = rows.values[column]
    times = [time_of(value) for value in values]
    if None in times:
        row = times.index(None)
        expected = "a number or an ISO date (source.split.order)"
        raise refuse(rows.where(row), column, expected, values[row])
    return np.unique(np.array(times, np.float64), return_inverse=True)[1].astype(np.int64)


def _fits(file: str, patterns: Sequence[str]) -> bool:
    base = file.rpartition("/")[2]
    return any(fnmatchcase(file, str(p)) or fnmatchcase(base, str(p)) for p in patterns)
