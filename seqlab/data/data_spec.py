"""The data spec: which columns are features and target, and how batches are made.

The keys and defaults below, and the options of the registered features, targets and tokenizers,
are the whole of the config's ``data`` group.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seqlab import registry
from seqlab.construct import check_options, construct, split_spec
from seqlab.data.batching import (
    Batching,
    Chunks,
    GivenData,
    column_keys,
    feature_defaults,
    given_targets,
    target_defaults,
)
from seqlab.data.features.base import Feature
from seqlab.data.part import ColumnPart
from seqlab.data.targets.base import Target
from seqlab.data.transforms.base import Transform
from seqlab.data.transforms.chain import Chain
from seqlab.errors import ConfigError, UnknownNameError
from seqlab.schema import Name, check_fields, check_value
from seqlab.target_names import SOLE


@dataclass(frozen=True)
class ColumnSpec:
    """A registered feature or target, and the column it reads.

    Args:
        column: the column of the data set; by default a feature's own name.
        kind: the registered name.
        options: all of the part's options, those left at their defaults included.
    """

    column: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As configs write it."""
        return {"column": self.column, "kind": self.kind, **self.options}

    def feature(self, name: str) -> Feature:
        """A feature of this form, which is fitted on nothing yet."""
        feature: Feature = construct("feature", self._named, name, self.column)
        return feature

    def target(self) -> Target:
        """A target of this form, which is fitted on nothing yet."""
        target: Target = construct("target", self._named, self.column)
        return target

    @property
    def _named(self) -> dict[str, Any]:
        return {"name": self.kind, **self.options}


def _read_column(
    part: str, mapping: Any, where: str, defaults: Mapping[str, str], *args: str
) -> ColumnSpec:
    """A feature's or target's spec, checked by building the part.

    Raises:
        ConfigError: a key is unknown, missing or wrong; the message has its full name.
    """
    given = {**defaults, **check_value(mapping, dict[str, Any], where)}
    for key in ("column", "kind"):
        if key not in given:
            raise ConfigError(f"{where}.{key}: no value was given; give it as {where}.{key}=...")
        check_value(given[key], Name, f"{where}.{key}")
    column, kind = given.pop("column"), given.pop("kind")
    try:
        registry.get(part, kind)
    except UnknownNameError as error:
        raise ConfigError(f"{where}.kind: {error}") from error
    try:
        built: ColumnPart = construct(part, {"name": kind, **given}, *args, column, where=where)
    except ConfigError as error:
        message = str(error).replace(f"{where}: tokenizer", f"{where}.tokenizer", 1)
        raise ConfigError(message) from error
    options = check_options(part, kind, given, given=len(args) + 1, where=where, complete=True)
    if built.tokenizer is not None:
        options["tokenizer"] = built.tokenizer.spec
    return ColumnSpec(column, kind, options)


def _read_transform(spec: Any, where: str) -> dict[str, Any]:
    """A transform's spec with all its options, checked by building it.

    Raises:
        ConfigError: the name or an option is unknown, missing or wrong; the message has the key.
    """
    name, given = split_spec("transform", spec, where)
    try:
        construct("transform", spec, where=where)
    except UnknownNameError as error:
        raise ConfigError(f"{where}.name: {error}") from error
    options = check_options("transform", name, given, given=0, where=where, complete=True)
    return {"name": name, **options}


@dataclass(frozen=True, kw_only=True)
class DataSpec(Batching):
    """Everything under ``data`` in a config.

    Args:
        features: name to feature; all features of a row have the same number of steps.
        targets: what is to be predicted, a sole target by the name ``SOLE``; in configs
            ``data.target``, or several by their names as ``data.targets``.
        transforms: registered transforms with their options, in the order in which rows go
            through them before anything else; the columns above are those that they leave.
        batch_size: rows in a training batch.
        eval_batch_size: rows in a validation or test batch; null for ``batch_size``.
        bucket: put rows of like length into one batch, which saves padding.
        num_workers: processes that prepare batches; 0 for none. A stream uses at most one.
        pin_memory: page-locked batches, for fast copies to a GPU.
        validation: the fraction of the training rows to validate on where the source has no
            validation split.
        limit_train, limit_validation, limit_test: take only so many rows: a fixed random
            subset, or the first rows of a stream.
        split_seed: chooses the rows of ``validation`` and of the limits. It is not the run's
            seed, so that runs with other seeds and later evaluations see the same split.
        max_length: cut inputs (and tags) after so many steps.
        allow_empty: accept rows whose input has no steps at all.
        shuffle_buffer: rows that a stream holds back to shuffle.
        shards: of a stream's training rows each of several processes reads its own part, an equal
            number of rows that follow each other, and opens no other files. Batches are then other
            than those of one process. false: each reads all rows and takes turns with the batches.
        chunks: ``{length: 200, continuous: false}``: train and validate on parts of rows, one
            after the other, with the state carried on (truncated backpropagation through time,
            Williams and Peng 1990); see ``seqlab.data.batching.Chunks``. null: on whole rows.
    """

    features: Mapping[str, ColumnSpec]
    targets: Mapping[str, ColumnSpec]
    transforms: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def from_mapping(cls, mapping: Any, where: str = "data") -> DataSpec:
        """Read a plain mapping, as configs and bundles hold it.

        >>> spec = DataSpec.from_mapping({
        ...     "features": {"text": {"column": "word", "tokenizer": "chars"}},
        ...     "target": {"column": "language", "kind": "label"}})
        >>> spec.features["text"].options["tokenizer"]["name"], spec.batch_size
        ('chars', 32)

        Raises:
            ConfigError: a key is unknown (with the nearest right one), missing, or of a wrong
                type; the message gives the key's full name.
        """
        if isinstance(mapping, DataSpec):
            return mapping
        checked = check_fields(mapping, GivenData, where)
        features = {
            name: _read_column(
                "feature", value, f"{where}.features.{name}", feature_defaults(name), name
            )
            for name, value in checked["features"].items()
        }
        first = next(iter(features.values())).column
        given = given_targets(checked.pop("target"), checked["targets"], where)
        targets = {
            name: _read_column("target", value, key, target_defaults(value, first))
            for name, (value, key) in given.items()
        }
        transforms = tuple(
            _read_transform(spec, f"{where}.transforms[{place}]")
            for place, spec in enumerate(checked["transforms"])
        )
        parts: dict[str, Any] = {"features": features, "targets": targets, "transforms": transforms}
        if checked["chunks"] is not None:
            parts["chunks"] = Chunks(**checked["chunks"])
        return cls(**{**checked, **parts})

    def to_dict(self) -> dict[str, Any]:
        """The spec as a plain dict that ``from_mapping`` reads back."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(Batching)}
        features = {name: feature.to_dict() for name, feature in self.features.items()}
        transforms = [dict(spec) for spec in self.transforms]
        return {
            "transforms": transforms,
            "features": features,
            **self._plain_targets(),
            **plain,
            "chunks": None if self.chunks is None else dataclasses.asdict(self.chunks),
        }

    def _plain_targets(self) -> dict[str, Any]:
        targets = {name: target.to_dict() for name, target in self.targets.items()}
        return {"targets": targets} if self.several else {"target": targets[SOLE]}

    @property
    def target(self) -> ColumnSpec:
        """The sole target.

        Raises:
            ConfigError: there are several; see ``targets``.
        """
        if self.several:
            raise ConfigError(f"there is no sole target, but {', '.join(self.targets)}")
        return self.targets[SOLE]

    @property
    def several(self) -> bool:
        """Whether targets are told apart by names."""
        return SOLE not in self.targets

    def new_transforms(self) -> tuple[Transform, ...]:
        """The transforms, which have learnt nothing yet."""
        return tuple(construct("transform", spec) for spec in self.transforms)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that every row must have, as the transforms leave it."""
        return tuple(self.column_keys)

    @property
    def column_keys(self) -> dict[str, str | None]:
        """These columns, each with the config key that asks for it."""
        features = {name: feature.column for name, feature in self.features.items()}
        targets = {name: target.column for name, target in self.targets.items()}
        return column_keys(features, targets)

    @property
    def input_columns(self) -> tuple[str, ...]:
        """The columns of the features."""
        return tuple(dict.fromkeys(feature.column for feature in self.features.values()))

    @property
    def given_columns(self) -> tuple[str, ...]:
        """The columns that a row given to predict must have."""
        return Chain(self.new_transforms(), self.input_columns).needs
