"""Which row of one table goes into which split: the rule of a config, and the rows it gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from seqlab.data.order import Indices
from seqlab.data.sources.split_rules import (
    HELD_OUT,
    ColumnRule,
    FoldsRule,
    FractionRule,
    MemberRule,
    ModulusRule,
    Rows,
    Rule,
    TailRule,
)
from seqlab.errors import ConfigError, DataError
from seqlab.schema import check_value, read

__all__ = ["RULES", "Rows", "Rule", "divide", "read_split"]

#: How rows are divided, by ``by``.
RULES: dict[str, type[Rule]] = {
    rule.by: rule
    for rule in (FractionRule, TailRule, FoldsRule, ModulusRule, MemberRule, ColumnRule)
}


def read_split(split: Any, where: str = "source.split") -> Rule:
    """The rule that a config gives.

    ``by`` is one of

    * ``fraction`` (default): ``validation`` and ``test`` are fractions of all rows, drawn at
      random by ``seed`` (default 0); with ``stratify``, a column's name, each of its values has
      its share of every split, as near as whole rows allow; with ``group``, a column's name, rows
      with one value stay together, and the fractions are of its values;
    * ``tail``: the same fractions, taken from the end of the file, the test rows last; with
      ``order``, a column of times (numbers or ISO dates), the latest rows, and with ``each``, a
      column's name, of each of its values the end;
    * ``folds``: of ``folds`` parts drawn at random the one with the number ``fold``, from 0, is the
      test; with ``stratify`` or ``group`` as for ``fraction``;
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
    kinds = Literal["fraction", "tail", "folds", "modulus", "member", "column"]
    check_value(by, kinds, f"{where}.by")
    rule = read(RULES[by], split, where)
    if not (rule.validation or rule.test):
        raise ConfigError(f"{where}: give validation, test, or both, such as {{test: 0.1}}")
    if isinstance(rule, FoldsRule) and rule.fold >= rule.folds:
        raise ConfigError(
            f"{where}.fold: expected a number from 0 to {rule.folds - 1}, got {rule.fold}"
        )
    if isinstance(rule, FractionRule | FoldsRule) and rule.stratify and rule.group:
        raise ConfigError(f"{where}: stratify and group do not go together; give one of them")
    shares = (part for part in (rule.validation, rule.test) if isinstance(part, float))
    if by in ("fraction", "tail") and sum(shares) >= 1:
        raise ConfigError(f"{where}: validation and test leave nothing to train on")
    return rule


def divide(rule: Rule, rows: Rows) -> dict[str, Indices]:
    """The rows of each split, in their order.

    Raises:
        DataError: a split that was asked for gets no row, or none is left for training.
    """
    rest = np.ones(rows.total, dtype=bool)
    for indices in rule.held_out(rows).values():
        rest[indices] = False
    seen = rule.seen(rows)
    asked = {name: seen[name] for name in HELD_OUT if getattr(rule, name)}
    splits = {"train": np.flatnonzero(rest), **asked}
    for name, indices in splits.items():
        if not len(indices):
            raise DataError(
                f"source.split leaves no rows for the split '{name}' of {rows.total} rows"
            )
    return splits
