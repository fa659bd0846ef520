"""The data spec: which columns are features and target, and how batches are made.

The keys and defaults below are the whole of the config's ``data`` group.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from seqlab.errors import ConfigError, did_you_mean

FEATURE_KINDS = ("text", "tokens", "numeric")
TARGET_KINDS = ("label", "labels", "tags", "text", "values")
TOKENIZERS = ("chars", "words", "bpe", "unigram", "wordpiece")
_TRAINED = ("bpe", "unigram", "wordpiece")
_DEFAULT_TRAINED_SIZE = 8000
_MAX_VOCABULARY = 10_000_000

S = TypeVar("S")
Check = Callable[[Any], str | None]


def _whole(minimum: int, *, optional: bool = False) -> Check:
    def check(value: Any) -> str | None:
        if value is None and optional:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and value >= minimum:
            return None
        return f"a whole number of at least {minimum}" + (" or null" if optional else "")

    return check


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _word(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "a name"


def _optional_word(value: Any) -> str | None:
    return None if value is None else _word(value)


def _fraction(value: Any) -> str | None:
    if value is None:
        return None
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1
    return None if good else "a fraction between 0 and 1, or null"


def _one_of(names: tuple[str, ...]) -> Check:
    def check(value: Any) -> str | None:
        return None if value in names else "one of " + ", ".join(names)

    return check


def _transform(value: Any) -> str | None:
    if value is None or value in ("lower", "shape"):
        return None
    if isinstance(value, str):
        name, _, size = value.partition(":")
        if name in ("suffix", "prefix") and size.isascii() and size.isdigit() and int(size) > 0:
            return None
    return "lower, shape, suffix:N or prefix:N"


def _key(check: Check, default: Any = dataclasses.MISSING) -> Any:
    """A dataclass field whose value ``check`` accepts, or says what it expected."""
    return field(default=default, metadata={"check": check})


def _read(cls: type[S], mapping: Any, where: str) -> S:
    """Build a spec dataclass from a mapping; unknown keys and wrong values are ConfigErrors."""
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{where}: expected a mapping of keys, got {mapping!r}")
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in mapping:
        if key not in known:
            raise ConfigError(f"{where}: unknown key '{key}': {did_you_mean(str(key), known)}")
    values: dict[str, Any] = {}
    for name, spec_field in known.items():
        if name not in mapping:
            if (
                spec_field.default is dataclasses.MISSING
                and spec_field.default_factory is dataclasses.MISSING
            ):
                raise ConfigError(f"{where}: the key '{name}' is missing")
            continue
        values[name] = mapping[name]
        check: Check | None = spec_field.metadata.get("check")
        expected = check(mapping[name]) if check else None
        if expected:
            raise ConfigError(f"{where}.{name}: expected {expected}, got {mapping[name]!r}")
    return cls(**values)


@dataclass(frozen=True)
class TokenizerSpec:
    """How text becomes ids.

    Args:
        name: ``chars``, ``words`` (split at whitespace), or a model trained on the training
            rows: ``bpe``, ``unigram``, ``wordpiece``.
        vocab_size: the most entries, special tokens included; null for no limit (``chars``,
            ``words``) or 8000 (trained models).
        min_count: entries seen less often in training become ``<unk>``.
        lowercase: lower the case of the text first.
        max_length: cut after so many ids.
    """

    name: str = _key(_one_of(TOKENIZERS), "words")
    vocab_size: int | None = _key(_whole(5, optional=True), None)
    min_count: int = _key(_whole(1), 1)
    lowercase: bool = _key(_flag, default=False)
    max_length: int | None = _key(_whole(1, optional=True), None)

    @property
    def limit(self) -> int:
        """The most entries a vocabulary may have."""
        if self.vocab_size is not None:
            return self.vocab_size
        return _DEFAULT_TRAINED_SIZE if self.name in _TRAINED else _MAX_VOCABULARY

    @classmethod
    def from_mapping(cls, mapping: Any, where: str) -> TokenizerSpec:
        """Read a mapping or a bare name."""
        return _read(cls, {"name": mapping} if isinstance(mapping, str) else mapping, where)


@dataclass(frozen=True)
class FeatureSpec:
    """One input feature.

    Args:
        column: the column of the data set; by default the feature's own name.
        kind: ``text`` (a string), ``tokens`` (a list of strings, or a string split at
            whitespace) or ``numeric`` (a series of numbers, or of rows of numbers).
        tokenizer: for ``text``; for ``tokens`` only its sizes and ``lowercase`` count.
        transform: for ``tokens``: ``lower``, ``shape`` (``Aa-9``), ``suffix:N``, ``prefix:N``.
        standardize: for ``numeric``: subtract the training mean, divide by the training
            standard deviation, each channel by its own.
    """

    column: str = _key(_word)
    kind: str = _key(_one_of(FEATURE_KINDS), "text")
    tokenizer: TokenizerSpec = TokenizerSpec()
    transform: str | None = _key(_transform, None)
    standardize: bool = _key(_flag, default=True)

    @classmethod
    def from_mapping(cls, mapping: Any, where: str, name: str) -> FeatureSpec:
        """Read a mapping; options that do not fit the kind are refused."""
        if isinstance(mapping, Mapping):
            mapping = {"column": name, **mapping}
        raw = _read(cls, mapping, where)
        kind, given = raw.kind, [key for key in mapping if mapping[key] is not None]
        for key, kinds in (
            ("tokenizer", ("text", "tokens")),
            ("transform", ("tokens",)),
            ("standardize", ("numeric",)),
        ):
            if key in given and kind not in kinds:
                raise ConfigError(
                    f"{where}.{key}: a feature of kind '{kind}' has no {key}; "
                    f"it belongs to {' and '.join(kinds)}"
                )
        return _with_tokenizer(raw, mapping, where)


@dataclass(frozen=True)
class TargetSpec:
    """What is to be predicted.

    Args:
        column: the column of the data set.
        kind: ``label`` (one class), ``labels`` (any number of classes), ``tags`` (a class for
            each step), ``text`` (a sequence) or ``values`` (a number, or a row of them).
        tokenizer: for ``text``.
        references: for ``text``: a column with the list of all accepted answers.
    """

    column: str = _key(_word)
    kind: str = _key(_one_of(TARGET_KINDS))
    tokenizer: TokenizerSpec = TokenizerSpec()
    references: str | None = _key(_optional_word, None)

    @classmethod
    def from_mapping(cls, mapping: Any, where: str) -> TargetSpec:
        """Read a mapping; options that do not fit the kind are refused."""
        raw = _read(cls, mapping, where)
        for key in ("tokenizer", "references"):
            if mapping.get(key) is not None and raw.kind != "text":
                raise ConfigError(
                    f"{where}.{key}: a target of kind '{raw.kind}' has no {key}; it belongs to text"
                )
        return _with_tokenizer(raw, mapping, where)


_Tokenized = TypeVar("_Tokenized", FeatureSpec, TargetSpec)


def _with_tokenizer(spec: _Tokenized, mapping: Mapping[str, Any], where: str) -> _Tokenized:
    given = mapping.get("tokenizer")
    tokenizer = given if isinstance(given, TokenizerSpec) else TokenizerSpec()
    if given is not None and not isinstance(given, TokenizerSpec):
        tokenizer = TokenizerSpec.from_mapping(given, f"{where}.tokenizer")
    return dataclasses.replace(spec, tokenizer=tokenizer)


@dataclass(frozen=True)
class DataSpec:
    """Everything under ``data`` in a config.

    Args:
        features: name to feature; all features of a row have the same number of steps.
        target: what is to be predicted.
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
    """

    features: Mapping[str, FeatureSpec]
    target: TargetSpec
    batch_size: int = _key(_whole(1), 32)
    eval_batch_size: int | None = _key(_whole(1, optional=True), None)
    bucket: bool = _key(_flag, default=True)
    num_workers: int = _key(_whole(0), 0)
    pin_memory: bool = _key(_flag, default=False)
    validation: float | None = _key(_fraction, None)
    limit_train: int | None = _key(_whole(1, optional=True), None)
    limit_validation: int | None = _key(_whole(1, optional=True), None)
    limit_test: int | None = _key(_whole(1, optional=True), None)
    split_seed: int = _key(_whole(0), 0)
    max_length: int | None = _key(_whole(1, optional=True), None)
    allow_empty: bool = _key(_flag, default=False)
    shuffle_buffer: int = _key(_whole(1), 10_000)

    @classmethod
    def from_mapping(cls, mapping: Any, where: str = "data") -> DataSpec:
        """Read a plain mapping, as configs and bundles hold it.

        >>> spec = DataSpec.from_mapping({
        ...     "features": {"text": {"column": "word", "tokenizer": "chars"}},
        ...     "target": {"column": "language", "kind": "label"}})
        >>> spec.features["text"].tokenizer.name, spec.batch_size
        ('chars', 32)

        Raises:
            ConfigError: a key is unknown (with the nearest right one), missing, or of a wrong
                type; the message gives the key's full name.
        """
        if isinstance(mapping, DataSpec):
            return mapping
        raw = _read(cls, mapping, where)
        if not isinstance(raw.features, Mapping) or not raw.features:
            raise ConfigError(
                f"{where}.features: expected a mapping of at least one feature's name to its "
                f"options, got {raw.features!r}"
            )
        for name in raw.features:
            if not isinstance(name, str) or not name.isidentifier():
                raise ConfigError(
                    f"{where}.features: a feature's name is letters, digits and '_', not {name!r}"
                )
        features = {
            name: FeatureSpec.from_mapping(value, f"{where}.features.{name}", name)
            for name, value in raw.features.items()
        }
        target = TargetSpec.from_mapping(raw.target, f"{where}.target")
        return dataclasses.replace(raw, features=features, target=target)

    def to_dict(self) -> dict[str, Any]:
        """The spec as a plain dict that ``from_mapping`` reads back."""
        plain = dataclasses.asdict(self)
        for name, spec in self.features.items():
            unfit = {"text": ("transform", "standardize"), "tokens": ("standardize",)}.get(
                spec.kind, ("tokenizer", "transform")
            )
            for key in unfit:
                del plain["features"][name][key]
        if self.target.kind != "text":
            del plain["target"]["tokenizer"], plain["target"]["references"]
        return plain

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that every row must have."""
        names = [feature.column for feature in self.features.values()]
        return tuple(dict.fromkeys([*names, self.target.column]))

    @property
    def input_columns(self) -> tuple[str, ...]:
        """The columns that an input to predict must have."""
        return tuple(dict.fromkeys(feature.column for feature in self.features.values()))
