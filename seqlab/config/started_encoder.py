"""The encoder of a run that begins with a finished model: the model's own, but for given words."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from seqlab.bundle.manifest import CONFIG_LIMIT
from seqlab.bundle.place import local_bundle
from seqlab.errors import BundleError
from seqlab.files import read_json

#: The keys of an encoder that belong to the run.
_OF_THE_RUN = ("engine",)
#: Parts that hold all recurrent layers.
_LAYERS = {"encoder", "encoder.layer"}
#: Groups that choose a key of the encoder.
_GROUPS = {"cell": "cell", "wrapper": "wrappers"}


def started_encoder(config: Mapping[str, Any], words: Iterable[str]) -> Mapping[str, Any]:
    """A composed config whose encoder is that of the model it begins with.

    A key that a word of the command line names keeps its value. Nothing changes where no bundle is
    named, or the layers are not taken from it.

    Args:
        config: plain values.
        words: the overrides of the job, in their long form.

    Raises:
        BundleError: there is no bundle, or its ``config.json`` has no encoder.
    """
    start = config.get("start")
    if not isinstance(start, Mapping) or not isinstance(start.get("bundle"), str):
        return config
    parts, given = start.get("parts"), config.get("encoder")
    whole = isinstance(parts, list) and not _LAYERS.isdisjoint(map(str, parts))
    if not whole or not isinstance(given, Mapping):
        return config
    merged = copy.deepcopy(_encoder_of(start["bundle"]))
    merged.update({key: given[key] for key in _OF_THE_RUN if key in given})
    _name_features(merged, config)
    for word in words:
        key = word.partition("=")[0].lstrip("+~")
        path = key.split(".")[1:] if key.startswith("encoder.") else [_GROUPS.get(key, "")]
        _overlay(merged, given, [step.partition("[")[0] for step in path])
    return {**config, "encoder": merged}


def _encoder_of(bundle: str) -> dict[str, Any]:
    folder = local_bundle(bundle)
    if not (folder / "config.json").is_file():
        inner = folder / "bundle"
        right = f"start={inner}" if inner.is_dir() else "the folder `bundle` of a finished run"
        raise BundleError(f"start.bundle: {folder} is no bundle; give {right}")
    encoder = read_json(folder / "config.json", CONFIG_LIMIT).get("encoder")
    if not isinstance(encoder, dict):
        raise BundleError(f"{folder / 'config.json'}: 'encoder' is missing")
    return encoder


def _name_features(encoder: dict[str, Any], config: Mapping[str, Any]) -> None:
    """Give the widths of single features to those that the run's data has."""
    embedding, data = encoder.get("embedding"), config.get("data")
    if not isinstance(embedding, dict) or not isinstance(data, Mapping):
        return
    widths, features = embedding.get("features"), data.get("features")
    if not isinstance(widths, dict) or not isinstance(features, Mapping):
        return
    if len(widths) == len(features) == 1:
        widths = dict.fromkeys(map(str, features), *widths.values())
    embedding["features"] = {name: width for name, width in widths.items() if name in features}


def _overlay(target: dict[str, Any], given: Mapping[str, Any], path: list[str]) -> None:
    """Put what ``given`` has at a path into ``target``; what it lacks is left out there."""
    *folders, last = path
    node: Any = target
    source: Any = given
    for name in folders:
        if not isinstance(source, Mapping) or name not in source:
            return
        source = source[name]
        if not isinstance(node.get(name), dict):
            node[name] = copy.deepcopy(source)
            return
        node = node[name]
    if isinstance(source, Mapping) and last in source:
        node[last] = copy.deepcopy(source[last])
    elif last in node:
        del node[last]
