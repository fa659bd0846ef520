"""The files of a processor: the spec and what was learnt, as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from seqlab.target_names import SOLE
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
    targets: Mapping[str, Target]
    statistics: Mapping[str, TargetStatistics]
    transforms: Sequence[Transform]


def write_parts(folder: Path, parts: Parts) -> None:
    """Write ``processor.json``, tokenizers and labels into an existing folder."""
    spec, features, targets, statistics, transforms = parts
    for name, tokenizer in _tokenizers(features, targets).items():
        tokenizer.save(folder / name)
    for name, target in targets.items():
        if target.keeps_state:
            labels = {"kind": spec.targets[name].kind, **target.state()}
            write_json(folder / _file_of(LABELS_FILE, name), labels, indent=1)
    plain = {name: plain_statistics(found) for name, found in statistics.items()}
    content = {
        "format": _FORMAT,
        "data": spec.to_dict(),
        "statistics": {f.name: f.state() for f in features if f.keeps_state},
        "transforms": [transform.state() for transform in transforms],
        **({"targets": plain} if spec.several else {"target": plain[SOLE]}),
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
    features, targets = unfitted(spec)
    for name, tokenizer in _tokenizers(features, targets).items():
        tokenizer.load(folder / name)
    statistics = content.get("statistics")
    for feature in features:
        if feature.keeps_state:
            kept = statistics.get(feature.name) if isinstance(statistics, dict) else None
            feature.restored(kept, str(path))
    transforms = _restored_transforms(spec, content.get("transforms", []), path)
    learnt = {}
    for name, target in targets.items():
        if target.keeps_state:
            labels = folder / _file_of(LABELS_FILE, name)
            target.restored(_labels(labels, spec.targets[name].kind), str(labels))
        learnt[name] = read_statistics(_statistics_of(content, name), target.info, path)
    return Parts(spec, features, targets, learnt, transforms)


def _file_of(file: str, target: str) -> str:
    """The name of a target's file: ``labels.json`` of a sole one, ``labels.NAME.json``."""
    stem, _, ending = file.rpartition(".")
    return file if target == SOLE else f"{stem}.{target}.{ending}"


def _statistics_of(content: Mapping[str, Any], target: str) -> Any:
    """What a processor's file says of a target."""
    if target == SOLE:
        return content.get("target", {})
    several = content.get("targets")
    return several.get(target, {}) if isinstance(several, dict) else {}


def unfitted(spec: DataSpec) -> tuple[list[Feature], dict[str, Target]]:
    """The features, those of steps first, and the targets of a spec, fitted on nothing yet.

    Raises:
        OptionError: a target does not fit the features.
    """
    made = [part.feature(name) for name, part in spec.features.items()]
    features = sorted(made, key=lambda feature: feature.role != "step")
    targets = {name: part.target() for name, part in spec.targets.items()}
    for target in targets.values():
        target.see(features)
    return features, targets


def _restored_transforms(spec: DataSpec, states: Any, path: Path) -> tuple[Transform, ...]:
    """The transforms of a spec with what they had learnt."""
    transforms = spec.new_transforms()
    if not isinstance(states, list) or len(states) != len(transforms):
        raise BundleError(f"{path}: 'transforms' must be a list of {len(transforms)}")
    for transform, state in zip(transforms, states, strict=True):
        if transform.keeps_state:
            transform.restored(state, str(path))
    return transforms


def _tokenizers(features: Sequence[Feature], targets: Mapping[str, Target]) -> dict[str, Tokenizer]:
    """All tokenizers by their files; that of the first feature with one is ``tokenizer.json``."""
    found: dict[str, Tokenizer] = {}
    for feature in features:
        if feature.tokenizer is not None:
            name = f"tokenizer.{feature.name}.json" if found else "tokenizer.json"
            found[name] = feature.tokenizer
    for name, target in targets.items():
        if target.tokenizer is not None and target.tokenizer not in found.values():
            found[_file_of(TARGET_TOKENIZER_FILE, name)] = target.tokenizer
    return found


def _labels(path: Path, kind: str) -> dict[str, Any]:
    content = read_json(path, _MAX_BYTES)
    if content.get("kind") != kind:
        raise BundleError(f"{path}: kind {content.get('kind')!r}, expected '{kind}'")
    return content
