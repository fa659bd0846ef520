"""How batches are made: the keys of ``data`` that can be checked without importing a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from seqlab.errors import ConfigError
from seqlab.schema import Count, Flag, Part, Rule, Whole
from seqlab.target_names import SOLE, target_key


def _named(parts: Mapping[str, Any]) -> bool:
    return bool(parts) and all(name.isidentifier() for name in parts)


#: Features by name.
Features = Annotated[
    Mapping[str, Any],
    Rule(_named, "features with their options, by names of letters, digits and '_'"),
]
#: Targets by name.
Targets = Annotated[
    Mapping[str, Any],
    Rule(_named, "targets with their options, by names of letters, digits and '_'"),
]


@dataclass(frozen=True)
class Chunks:
    """Long rows in parts: the state is carried on, the gradient is not.

    Args:
        length: the most steps of a part.
        continuous: all rows of a split end to end, in ``batch_size`` streams of one length; in
            evaluation in ``eval_batch_size``, one unless it is given.
    """

    length: Count
    continuous: Flag = False


@dataclass(frozen=True)
class Batching:
    """The keys of ``data`` that say how batches are made; see ``DataSpec``."""

    batch_size: Count = 32
    eval_batch_size: Count | None = None
    bucket: Flag = True
    num_workers: Whole = 0
    pin_memory: Flag = False
    validation: Part | None = None
    limit_train: Count | None = None
    limit_validation: Count | None = None
    limit_test: Count | None = None
    split_seed: Whole = 0
    max_length: Count | None = None
    allow_empty: Flag = False
    shuffle_buffer: Count = 10_000
    shards: Flag = False
    chunks: Chunks | None = None


@dataclass(frozen=True, kw_only=True)
class GivenData(Batching):
    """All keys of ``data``, before its parts are looked at."""

    features: Features
    target: Mapping[str, Any] | None = None
    targets: Targets | None = None
    transforms: Sequence[Any] = ()


def feature_defaults(name: str) -> dict[str, str]:
    """What is meant where a feature does not say its column or kind."""
    return {"column": name, "kind": "text"}


def target_defaults(target: Any, first: str) -> dict[str, str]:
    """What is meant where a target does not say its column.

    Args:
        target: what was given.
        first: the first feature's column.
    """
    inputs = isinstance(target, Mapping) and target.get("kind") == "inputs"
    return {"column": first} if inputs else {}


def given_targets(target: Any, targets: Any, where: str = "data") -> dict[str, tuple[Any, str]]:
    """Each target by its name, a sole one by ``SOLE``: its spec, and the config key.

    Args:
        target: what ``data.target`` holds.
        targets: what ``data.targets`` holds.
        where: the key of both.

    Raises:
        ConfigError: neither or both are given.
    """
    if target is not None and targets is not None:
        raise ConfigError(
            f"{where}: target and targets are both given; leave one out: {where}.target=null"
        )
    if targets is not None:
        return {name: (spec, target_key(name, where)) for name, spec in targets.items()}
    if target is None:
        raise ConfigError(
            f"{where}.target: the key is missing; give it, or several as {where}.targets"
        )
    return {SOLE: (target, target_key(SOLE, where))}


def column_keys(features: Mapping[str, str], targets: Mapping[str, str]) -> dict[str, str | None]:
    """The columns of features and targets, each with the config key that asks for it.

    Args:
        features: each feature's column, by its name.
        targets: each target's column, by its name.
    """
    keys: dict[str, str | None] = {}
    for name, column in features.items():
        keys.setdefault(column, f"data.features.{name}.column")
    for name, column in targets.items():
        keys.setdefault(column, f"{target_key(name)}.column")
    return keys
