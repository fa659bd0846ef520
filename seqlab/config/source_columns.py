"""Whether the columns that a run reads are there: seen before torch and Lightning are imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqlab import registry
from seqlab.construct import construct
from seqlab.data.batching import column_keys, feature_defaults, given_targets, target_defaults
from seqlab.data.sources.base import Source


def check_source_columns(source: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Refuse a source that can tell at once that its data lack a column.

    Args:
        source: the checked spec of a source.
        data: the spec of data as it was given; its keys are checked, not all of its values.

    Raises:
        DataError: a column is missing; file and row are named.
        ConfigError: the source or a transform cannot be made with its options.
    """
    known = registry.get("source", source["name"])
    if getattr(known, "check_columns", None) in (None, Source.check_columns):
        return
    columns = _columns(data)
    if columns:
        made: Source = construct("source", source, where="source")
        made.use_columns(columns)
        made.check_columns()


def _columns(data: Mapping[str, Any]) -> dict[str, str | None]:
    """The columns to read, each with its key; none where a name of one is no text."""
    from seqlab.data.transforms.chain import KEY, Chain

    features = {
        name: {**feature_defaults(name), **(spec if isinstance(spec, Mapping) else {})}["column"]
        for name, spec in data["features"].items()
    }
    first = next(iter(features.values()))
    given = given_targets(data.get("target"), data.get("targets"))
    targets: dict[str, Any] = {
        name: {**target_defaults(spec, first), **spec}.get("column")
        for name, (spec, _) in given.items()
        if isinstance(spec, Mapping)
    }
    if not all(isinstance(column, str) for column in (*features.values(), *targets.values())):
        return {}
    transforms = [
        construct("transform", spec, where=f"{KEY}[{place}]")
        for place, spec in enumerate(data.get("transforms", ()))
    ]
    keys = column_keys(features, targets)
    return Chain(transforms, keys).asked_by(keys)
