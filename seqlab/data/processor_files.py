"""The files of a processor: the spec and what was learnt, as plain JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seqlab.data.data_spec import DataSpec
from seqlab.data.earlier import upgraded
from seqlab.data.features.base import Feature
from seqlab.data.restoring import restoring
from seqlab.data.statistics import plain_statistics, read_statistics
from seqlab.data.targets.base import Target
from seqlab.data.tokenizers.base import Tokenizer
from seqlab.data.transforms.base import Transform
from seqlab.errors import BundleError
from seqlab.files import read_json, write_json
from seqlab.types import TargetStatistics

PROCESSOR_FILE = "processor.json"
LABELS_FILE = "labels.json"
TARGET_TOKENIZER_FILE = "target_tokenizer.json"
_MAX_BYTES = 64 * 2**20
_FORMAT, _EARLIER_FORMAT = 2, 1


class Parts(NamedTuple):
    """What a processor is made of; see ``Processor``."""

    spec: DataSpec
    features: Sequence[Feature]
    target: Target
    statistics: TargetStatistics
    transforms: Sequence[Transform]


def write_parts(folder: Path, parts: Parts) -> None:
    """Write ``processor.json``, tokenizers and labels into an existing folder."""
    spec, features, target, statistics, transforms = parts
    for name, tokenizer in _tokenizers(features, target).items():
        tokenizer.save(folder / name)
    if target.keeps_state:
        labels = {"kind": spec.target.kind, **target.state()}
        write_json(folder / LABELS_FILE, labels, indent=1)
    content = {
        "format": _FORMAT,
        "data": spec.to_dict(),
        "statistics": {f.name: f.state() for f in features if f.keeps_state},
        "transforms": [transform.state() for transform in transforms],
        "target": plain_statistics(statistics),
    }
    write_json(folder / PROCESSOR_FILE, content, indent=1)


def read_parts(folder: Path) -> Parts:
    """Read what ``write_parts`` wrote; nothing in the folder chooses code.

    Raises:
        BundleError: a file is missing, too large, damaged, or does not fit the others.
    """
    path = folder / PROCESSOR_FILE
    content = read_json(path, _MAX_BYTES)
    if content.get("format") not in (_FORMAT, _EARLIER_FORMAT):
        raise BundleError(f"{path}: format {content.get('format')!r}, expected {_FORMAT}")
    with restoring(path, "the form of the data"):
        data = content.get("data")
        spec = DataSpec.from_mapping(data if content["format"] == _FORMAT else upgraded(data))
    features, target = unfitted(spec)
    for name, tokenizer in _tokenizers(features, target).items():
        tokenizer.load(folder / name)
    statistics = content.get("statistics")
    for feature in features:
        if feature.keeps_state:
            kept = statistics.get(feature.name) if isinstance(statistics, dict) else None
            feature.restored(kept, str(path))
    transforms = _restored_transforms(spec, content.get("transforms", []), path)
    if target.keeps_state:
        target.restored(_labels(folder / LABELS_FILE, spec.target.kind), str(folder / LABELS_FILE))
    learnt = read_statistics(content.get("target", {}), target.info, path)
    return Parts(spec, features, target, learnt, transforms)


def unfitted(spec: DataSpec) -> tuple[list[Feature], Target]:
    """The features, those of steps first, and the target of a spec, fitted on nothing yet.

    Raises:
        OptionError: the target does not fit the features.
    """
    made = [part.feature(name) for name, part in spec.features.items()]
    features = sorted(made, key=lambda feature: feature.role != "step")
    target = spec.target.target()
    target.see(features)
    return features, target


def _restored_transforms(spec: DataSpec, states: Any, path: Path) -> tuple[Transform, ...]:
    """The transforms of a spec with what they had learnt."""
    transforms = spec.new_transforms()
    if not isinstance(states, list) or len(states) != len(transforms):
        raise BundleError(f"{path}: 'transforms' must be a list of {len(transforms)}")
    for transform, state in zip(transforms, states, strict=True):
        if transform.keeps_state:
            transform.restored(state, str(path))
    return transforms


def _tokenizers(features: Sequence[Feature], target: Target) -> dict[str, Tokenizer]:
    """All tokenizers by their files; that of the first feature with one is ``tokenizer.json``."""
    found: dict[str, Tokenizer] = {}
    for feature in features:
        if feature.tokenizer is not None:
            name = f"tokenizer.{feature.name}.json" if found else "tokenizer.json"
            found[name] = feature.tokenizer
    if target.tokenizer is not None and target.tokenizer not in found.values():
        found[TARGET_TOKENIZER_FILE] = target.tokenizer
    return found


def _labels(path: Path, kind: str) -> dict[str, Any]:
    content = read_json(path, _MAX_BYTES)
    if content.get("kind") != kind:
        raise BundleError(f"{path}: kind {content.get('kind')!r}, expected '{kind}'")
    return content
