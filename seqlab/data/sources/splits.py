"""Which row of one table goes into which split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple

import numpy as np

from seqlab.data.order import Indices, by_class, evenly
from seqlab.data.sources.base import SPLITS
from seqlab.errors import ConfigError, DataError
from seqlab.schema import Count, Fraction, Name, Whole, check_value, read

_HELD_OUT = SPLITS[1:]


class Rows(NamedTuple):
    """What a rule may look at: how many rows, each one's file, each one's value of its column."""

    total: int
    files: Sequence[str]
    values: Sequence[Any]


class Rule:
    """How to divide rows into splits; all that are not held out are training rows."""

    by: str
    validation: Any
    test: Any

    @property
    def needs(self) -> tuple[str, str] | None:
        """The column whose values decide, and the config key that names it."""
        return None

    def held_out(self, rows: Rows) -> dict[str, Indices]:
        """The rows of ``validation`` and ``test``, in their order."""
        raise NotImplementedError

    def _fractions(self, order: Indices, rows: Rows) -> dict[str, Indices]:
        """The end of an order, the test rows last."""
        found, end = {}, rows.total
        for name, size in self._sizes(rows.total).items():
            found[name] = np.sort(order[end - size : end])
            end -= size
        return found

    def _sizes(self, count: int) -> dict[str, int]:
        """The number of rows held out for the test, then for validation."""
        parts = {name: getattr(self, name) or 0 for name in reversed(_HELD_OUT)}
        return {name: count - int(count * (1 - part) + 1e-9) for name, part in parts.items()}


@dataclass(frozen=True)
class FractionRule(Rule):
    """Fractions drawn at random; with ``stratify`` each value of a column has its share."""

    by: Literal["fraction"] = "fraction"
    validation: Fraction | None = None
    test: Fraction | None = None
    seed: Whole = 0
    stratify: Name | None = None

    @property
    def needs(self) -> tuple[str, str] | None:
        """See the base class."""
        return None if self.stratify is None else (self.stratify, "source.split.stratify")

    def held_out(self, rows: Rows) -> dict[str, Indices]:
        """See the base class."""
        order = np.random.default_rng(self.seed).permutation(rows.total)
        if self.stratify is None:
            return self._fractions(order, rows)
        found, order = {}, by_class(order, rows.values)
        for name, size in self._sizes(rows.total).items():
            places = evenly(len(order), size)
            found[name] = np.sort(order[places])
            order = np.delete(order, places)
        return found


@dataclass(frozen=True)
class TailRule(Rule):
    """Fractions from the end of the file, the test rows last."""

    by: Literal["tail"] = "tail"
    validation: Fraction | None = None
    test: Fraction | None = None

    def held_out(self, rows: Rows) -> dict[str, Indices]:
        """See the base class."""
        return self._fractions(np.arange(rows.total), rows)


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
        return {
            name: np.flatnonzero(np.isin(keys, getattr(self, name) or [])) for name in _HELD_OUT
        }


@dataclass(frozen=True)
class MemberRule(Rule):
    """Rows go by their file; ``*`` and ``?`` in a listed name stand for any characters."""

    by: Literal["member"] = "member"
    validation: list[str] | None = None
    test: list[str] | None = None

    def held_out(self, rows: Rows) -> dict[str, Indices]:
        """See the base class."""
        listed = {name: getattr(self, name) or [] for name in _HELD_OUT}
        return {
            name: np.flatnonzero([_fits(file, patterns) for file in rows.files])
            for name, patterns in listed.items()
        }


@dataclass(frozen=True)
class ColumnRule(Rule):
    """Rows go by their value of a column, of which each split lists some."""

    column: Name
    by: Literal["column"] = "column"
    validation: list[Any] | None = None
    test: list[Any] | None = None

    @property
    def needs(self) -> tuple[str, str] | None:
        """See the base class."""
        return self.column, "source.split.column"

    def held_out(self, rows: Rows) -> dict[str, Indices]:
        """See the base class."""
        listed = {name: set(map(str, getattr(self, name) or ())) for name in _HELD_OUT}
        return {
            name: np.flatnonzero([str(value) in values for value in rows.values])
            for name, values in listed.items()
        }


#: How rows are divided, by ``by``.
RULES: dict[str, type[Rule]] = {
    rule.by: rule for rule in (FractionRule, TailRule, ModulusRule, MemberRule, ColumnRule)
}


def read_split(split: Any, where: str = "source.split") -> Rule:
    """The rule that a config gives.

    ``by`` is one of

    * ``fraction`` (default): ``validation`` and ``test`` are fractions of all rows, drawn at
      random by ``seed`` (default 0); with ``stratify``, a column's name, each of its values has
      its share of every split, as near as whole rows allow;
    * ``tail``: the same fractions, taken from the end of the file, the test rows last;
    * ``modulus``: row i goes to the split that lists ``i % modulus``;
    * ``member``: rows go by their file, the splits list file names (``*`` and ``?`` stand for
      any characters);
    * ``column``: rows go by the value of ``column``, the splits list values.

    All other rows are training rows.

    Raises:
        OptionError: a key is unknown, missing, or has a wrong value.
        ConfigError: nothing is held out, or everything.
    """
    by = split.get("by", "fraction") if isinstance(split, Mapping) else "fraction"
    check_value(by, Literal["fraction", "tail", "modulus", "member", "column"], f"{where}.by")
    rule = read(RULES[by], split, where)
    if not (rule.validation or rule.test):
        raise ConfigError(f"{where}: give validation, test, or both, such as {{test: 0.1}}")
    if by in ("fraction", "tail") and sum(part or 0 for part in (rule.validation, rule.test)) >= 1:
        raise ConfigError(f"{where}: validation and test leave nothing to train on")
    return rule


def divide(rule: Rule, rows: Rows) -> dict[str, Indices]:
    """The rows of each split, in their order.

    Raises:
        DataError: a split that was asked for gets no row, or none is left for training.
    """
    held_out = rule.held_out(rows)
    rest = np.ones(rows.total, dtype=bool)
    for indices in held_out.values():
        rest[indices] = False
    asked = {name: held_out[name] for name in _HELD_OUT if getattr(rule, name)}
    splits = {"train": np.flatnonzero(rest), **asked}
    for name, indices in splits.items():
        if not len(indices):
            raise DataError(
                f"source.split leaves no rows for the split '{name}' of {rows.total} rows"
            )
    return splits


def _fits(file: str, patterns: Sequence[str]) -> bool:
    base = file.rpartition("/")[2]
    return any(fnmatchcase(file, str(p)) or fnmatchcase(base, str(p)) for p in patterns)
