"""Which row of one table goes into which split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt

from seqlab.data.sources.base import SPLITS, unknown
from seqlab.errors import ConfigError, DataError, did_you_mean

Indices = npt.NDArray[np.int64]
_HELD_OUT = SPLITS[1:]
_RULES = {
    "fraction": ("seed",),
    "tail": (),
    "modulus": ("modulus",),
    "member": (),
    "column": ("column",),
}


def check_split(split: Any, where: str = "source.split") -> dict[str, Any]:
    """A split rule, checked.

    ``by`` is one of

    * ``fraction`` (default): ``validation`` and ``test`` are fractions of all rows, drawn at
      random by ``seed`` (default 0);
    * ``tail``: the same fractions, taken from the end of the file, the test rows last;
    * ``modulus``: row i goes to the split that lists ``i % modulus``;
    * ``member``: rows go by their file, the splits list file names (``*`` and ``?`` stand for
      any characters);
    * ``column``: rows go by the value of ``column``, the splits list values.

    All other rows are training rows.

    Raises:
        ConfigError: a key is unknown, missing, or has a wrong value.
    """
    if not isinstance(split, Mapping):
        raise ConfigError(f"{where}: expected a mapping such as {{test: 0.1}}, got {split!r}")
    rule = {"by": "fraction", **split}
    if rule["by"] not in _RULES:
        raise unknown(f"{where}.by", rule["by"], _RULES)
    allowed = ("by", *_HELD_OUT, *_RULES[rule["by"]])
    for key in rule:
        if key not in allowed:
            raise ConfigError(f"{where}: unknown key '{key}': {did_you_mean(str(key), allowed)}")
    if not any(rule.get(name) for name in _HELD_OUT):
        raise ConfigError(f"{where}: give validation, test, or both")
    for name in _HELD_OUT:
        _check_share(rule, name, where)
    if rule["by"] in ("fraction", "tail") and sum(rule.get(n) or 0 for n in _HELD_OUT) >= 1:
        raise ConfigError(f"{where}: validation and test leave nothing to train on")
    for key in _RULES[rule["by"]]:
        _check_key(rule, key, where)
    return rule


def _check_share(rule: Mapping[str, Any], name: str, where: str) -> None:
    value = rule.get(name)
    if rule["by"] in ("fraction", "tail"):
        expected = "a fraction"
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1
    else:
        expected, good = "a list", isinstance(value, (list, tuple))
    if value is not None and not good:
        raise ConfigError(f"{where}.{name}: expected {expected}, got {value!r}")


def _check_key(rule: dict[str, Any], key: str, where: str) -> None:
    if key == "seed":
        rule.setdefault("seed", 0)
    value = rule.get(key)
    if key == "column":
        good, expected = isinstance(value, str), "a column's name"
    else:
        good = isinstance(value, int) and not isinstance(value, bool)
        good, expected = good and int(value or 0) >= (key == "modulus"), "a whole number"
    if not good:
        raise ConfigError(f"{where}.{key}: expected {expected}, got {value!r}")


def assign(
    rule: Mapping[str, Any], count: int, files: Sequence[str], values: Sequence[Any] | None = None
) -> dict[str, Indices]:
    """The rows of each split, in their order.

    Args:
        rule: as ``check_split`` returns it.
        count: how many rows there are.
        files: each row's file, for ``member``.
        values: each row's value of the rule's column, for ``column``.

    Raises:
        DataError: a split that was asked for gets no row, or none is left for training.
    """
    by = rule["by"]
    held_out: dict[str, Indices] = {}
    if by in ("fraction", "tail"):
        order = np.arange(count)
        if by == "fraction":
            order = np.random.default_rng(rule["seed"]).permutation(count)
        end = count
        for name in reversed(_HELD_OUT):
            size = count - int(count * (1 - (rule.get(name) or 0)) + 1e-9)
            held_out[name] = np.sort(order[end - size : end])
            end -= size
    else:
        keys: Sequence[Any] = files if by == "member" else values or []
        if by == "modulus":
            keys = (np.arange(count) % rule["modulus"]).tolist()
        for name in _HELD_OUT:
            listed = rule.get(name) or []
            match = _matches if by == "member" else _equals
            held_out[name] = np.flatnonzero([match(key, listed) for key in keys])
    rest = np.ones(count, dtype=bool)
    for indices in held_out.values():
        rest[indices] = False
    splits = {"train": np.flatnonzero(rest), **held_out}
    splits = {name: rows for name, rows in splits.items() if name == "train" or rule.get(name)}
    for name, rows in splits.items():
        if not len(rows):
            raise DataError(f"source.split leaves no rows for the split '{name}' of {count} rows")
    return splits


def _matches(file: str, patterns: Sequence[str]) -> bool:
    base = file.rpartition("/")[2]
    return any(fnmatchcase(file, str(p)) or fnmatchcase(base, str(p)) for p in patterns)


def _equals(value: Any, listed: Sequence[Any]) -> bool:
    return value in listed or str(value) in listed
