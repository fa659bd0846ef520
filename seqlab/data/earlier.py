"""Data specs of bundles made before features, targets and tokenizers were registered parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def upgraded(data: Any) -> Any:
    """The same spec in today's form: text is not normalised, and what had no effect is gone.

    >>> tokenizer = {"name": "chars", "vocab_size": None, "min_count": 2, "lowercase": False}
    >>> upgraded({"features": {"words": {"kind": "tokens", "tokenizer": tokenizer}}, "target": {}}
    ... )["features"]["words"]["tokenizer"]["name"]
    'tokens'
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("features"), Mapping):
        return data
    features = {name: _part(feature) for name, feature in data["features"].items()}
    return {**data, "features": features, "target": _part(data.get("target"))}


def _part(part: Any) -> Any:
    if not isinstance(part, Mapping) or not isinstance(part.get("tokenizer"), Mapping):
        return part
    tokenizer = {**part["tokenizer"], "normalization": "none"}
    if part.get("kind") == "tokens":
        tokenizer["name"] = "tokens"
    return {**part, "tokenizer": tokenizer}
