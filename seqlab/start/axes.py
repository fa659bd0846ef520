"""Which axis of which weight runs over a vocabulary or over labels, found by growing them.

A model is built without memory once as it is and once with one entry more; a weight that grows by
one along an axis has an entry's numbers in each place of it. So no head has to say it of itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from seqlab.build import build_model
from seqlab.errors import SeqlabError
from seqlab.target_names import SOLE
from seqlab.types import DataInfo, TargetInfo

Shapes = dict[str, tuple[int, ...]]


class Axis(NamedTuple):
    """What an axis of a weight runs over, a feature by its name or a target by ``target_axis``.

    ``exact``: each place of it is one entry.
    """

    over: str
    exact: bool = True


def entry_axes(spec: Mapping[str, Any], info: DataInfo) -> dict[str, dict[int, Axis]]:
    """For each weight the axes whose size depends on the entries of a vocabulary or on labels.

    Args:
        spec: ``encoder`` and ``head``.
        info: what the data looks like.
    """
    plain = _shapes(spec, info)
    found: dict[str, dict[int, Axis]] = {}
    for name, grown in _one_more(spec, info):
        size = _size(info, name)
        for tensor, known in plain.items():
            shape = grown.get(tensor, ())
            if len(known) != len(shape):
                every = {axis: Axis(name, exact=False) for axis in range(len(known))}
                found.setdefault(tensor, {}).update(every)
                continue
            for axis, (less, more) in enumerate(zip(known, shape, strict=True)):
                if more != less:
                    exact = more == less + 1 and less == size
                    found.setdefault(tensor, {})[axis] = Axis(name, exact)
    return found


def target_axis(name: str) -> str:
    """What an axis over the entries of a target is called; no feature is."""
    return f" {name}"


def _size(info: DataInfo, name: str) -> int:
    if name.startswith(" "):
        return info.target.named[name[1:]].size
    return next(feature.size for feature in info.features if feature.name == name)


def _one_more(spec: Mapping[str, Any], info: DataInfo) -> Iterator[tuple[str, Shapes]]:
    """The shapes with one more entry of each feature, and of the target."""
    for place, feature in enumerate(info.features):
        if feature.kind != "ids":
            continue
        features = list(info.features)
        features[place] = replace(feature, size=feature.size + 1)
        target = info.target
        if target.kind == "inputs" and target.feature == feature.name:
            target = replace(target, size=target.size + 1)
        yield feature.name, _shapes(spec, DataInfo(tuple(features), target))
    for name, part in info.target.named.items():
        if part.kind in ("label", "labels", "tags", "tokens"):
            yield target_axis(name), _one_more_answer(spec, info, name, part)


def _one_more_answer(
    spec: Mapping[str, Any], info: DataInfo, name: str, part: TargetInfo
) -> Shapes:
    """The shapes with one more entry of a target."""
    for larger in _with_one_more(part):
        several = replace(info.target, parts={**info.target.parts, name: larger})
        try:
            return _shapes(spec, replace(info, target=larger if name == SOLE else several))
        except SeqlabError:
            continue  # a name that the head's scheme does not know
    # nothing is known of the head
    kept = _shapes(spec, info).items()
    return {tensor: shape for tensor, shape in kept if not tensor.startswith("head.")}


def _with_one_more(target: TargetInfo) -> Iterator[TargetInfo]:
    """A target with one more entry, whose name is made of each of those there are."""
    statistics = target.statistics
    if statistics.counts:
        statistics = replace(statistics, counts=(*statistics.counts, 1))
    larger = replace(target, size=target.size + 1, statistics=statistics)
    if not target.names:
        yield larger
    for name in target.names:
        yield replace(larger, names=(*target.names, f"{name}\N{PRIME}"))


def _shapes(spec: Mapping[str, Any], info: DataInfo) -> Shapes:
    """The shape of each weight."""
    try:
        with torch.device("meta"):
            state = build_model(spec, info).state_dict()
    except RuntimeError as error:
        if isinstance(error, SeqlabError):
            raise
        with torch.random.fork_rng():  # a part that cannot be built without memory
            state = build_model(spec, info).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}
