"""The features that an encoder reads: their options, their widths, and what a batch has of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from seqlab.errors import DataError, OptionError, ShapeError
from seqlab.piece_reader import EntryReader, PieceReader, SeriesReader
from seqlab.schema import Count, check_value, with_defaults
from seqlab.types import Batch, FeatureInfo

#: What ``encoder.embedding.features.NAME`` of a feature of ids holds.
_TABLE: Mapping[str, Any] = {
    "size": None,
    "vectors": None,
    "words": "training",
    "max_words": None,
    "trained": True,
}
#: What ``encoder.embedding`` holds, with its defaults.
DEFAULT_EMBEDDING: Mapping[str, Any] = {
    "size": 64,
    "dropout": 0.0,
    "word_dropout": 0.0,
    "features": {},
}
#: What reads a feature whose entries are sequences, by its kind.
READERS: Mapping[str, type[PieceReader | SeriesReader]] = {
    "pieces": PieceReader,
    "series": SeriesReader,
}
_OF_FEATURES = "encoder.embedding.features"


def beside_steps(features: Sequence[FeatureInfo]) -> tuple[FeatureInfo, ...]:
    """The features that the layer reads.

    Raises:
        OptionError: none of them has an entry for each step.
    """
    if all(feature.role != "step" for feature in features):
        raise OptionError("encoder: the data has no features with an entry for each step")
    return tuple(feature for feature in features if feature.role != "ahead")


def joined_width(
    features: Sequence[FeatureInfo],
    embedding: Mapping[str, Any] | None,
    readers: Mapping[str, EntryReader],
    *,
    ahead: bool,
) -> int:
    """How many numbers the features add to a step that the layer reads, or to one ahead."""
    wanted = features_ahead(features) if ahead else beside_steps(features)
    each = zip(features, widths(features, embedding, readers), strict=True)
    return sum(width for feature, width in each if feature in wanted)


def features_ahead(features: Sequence[FeatureInfo]) -> tuple[FeatureInfo, ...]:
    """The features that say what is known of the steps to come."""
    return tuple(feature for feature in features if feature.role == "ahead")


def embedding_options(embedding: Mapping[str, Any] | None) -> dict[str, Any]:
    """``encoder.embedding`` with its defaults."""
    return with_defaults(embedding, DEFAULT_EMBEDDING, "encoder.embedding")


def feature_options(
    features: Sequence[FeatureInfo], embedding: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """What ``encoder.embedding.features`` says of each feature that is looked up or read.

    Raises:
        OptionError: a feature is of another kind, or a key is unknown.
    """
    options = embedding_options(embedding)
    for feature in features:
        if feature.kind not in ("ids", "numeric", *READERS):
            raise OptionError(
                f"feature '{feature.name}': kind must be ids, numeric, pieces or series, got "
                f"'{feature.kind}'"
            )
    kinds = {feature.name: feature.kind for feature in features if feature.kind != "numeric"}
    names: dict[str, Any] = {name: {} for name in kinds}
    own = with_defaults(options["features"], names, _OF_FEATURES)
    usual = {**_TABLE, "size": options["size"]}
    return {
        name: with_defaults(own[name], usual, f"{_OF_FEATURES}.{name}")
        if kind == "ids"
        else dict(own[name] or {})
        for name, kind in kinds.items()
    }


def piece_readers(
    features: Sequence[FeatureInfo], embedding: Mapping[str, Any] | None, engine: str = "auto"
) -> dict[str, EntryReader]:
    """What reads each feature of pieces or series, newly drawn.

    Args:
        features: the data's features, in order.
        embedding: ``encoder.embedding``.
        engine: the engine of their recurrent layers.

    Raises:
        OptionError: no feature has an entry for each step, or an option does not fit.
    """
    beside_steps(features)
    options = feature_options(features, embedding)
    return {
        feature.name: READERS[feature.kind](
            feature, options[feature.name], where=f"{_OF_FEATURES}.{feature.name}", engine=engine
        )
        for feature in features
        if feature.kind in READERS
    }


def widths(
    features: Sequence[FeatureInfo],
    embedding: Mapping[str, Any] | None,
    readers: Mapping[str, EntryReader],
) -> tuple[int, ...]:
    """How many numbers each feature adds to a step."""
    options = feature_options(features, embedding)
    widths = []
    for feature in features:
        if feature.kind == "numeric":
            widths.append(feature.size)
        elif feature.kind in READERS:
            widths.append(readers[feature.name].output_size)
        else:
            size = options[feature.name]["size"]
            widths.append(check_value(size, Count, "encoder.embedding.size"))
    return tuple(widths)


def checked_value(feature: FeatureInfo, batch: Batch) -> Tensor:
    """What a batch has of a feature.

    Raises:
        DataError: nothing.
        ShapeError: it has another shape; the message gives both.
    """
    value = batch.inputs.get(feature.name)
    if value is None:
        have = ", ".join(batch.inputs) or "none"
        raise DataError(f"the batch has no feature '{feature.name}' (it has: {have})")
    widths = {"pieces": 1 + feature.longest, "series": 1 + feature.longest * feature.size}
    width = widths.get(feature.kind, feature.size)
    fits = value.dim() == 2 if feature.kind == "ids" else value.shape[2:] == (width,)
    if not fits:
        wanted = "[B, T]" if feature.kind == "ids" else f"[B, T, {width}]"
        raise ShapeError(f"feature '{feature.name}' must be {wanted}, got {tuple(value.shape)}")
    return value
