"""A bundle from its folder, without running code from it.

>>> import seqlab
>>> callable(seqlab.load)
True
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from seqlab.build import build_model
from seqlab.bundle.eight_bits import unpacked, whole_shapes
from seqlab.bundle.ensemble import Ensemble, check_alike, check_count
from seqlab.bundle.finite import WORTHLESS, not_finite
from seqlab.bundle.formats import Contents, migrated
from seqlab.bundle.manifest import CONFIG_LIMIT, missing_part, other_versions, read_manifest
from seqlab.bundle.place import WEIGHTS, local_bundle
from seqlab.bundle.trained import TrainedModel
from seqlab.data.processor import Processor
from seqlab.errors import BundleError, SeqlabError
from seqlab.failures import shortage
from seqlab.files import read_json
from seqlab.memory import ALWAYS_FINE, whole_numbers
from seqlab.model import SequenceModel
from seqlab.new_weights import See, new_weights
from seqlab.types import DataInfo, FeatureInfo, TargetInfo, TargetStatistics

#: Making so many weight tensors takes no time, and parts may make some that they throw away.
_ALWAYS_MADE = 1_000


def load(
    path: str | Path | Sequence[str | Path],
    *,
    device: str | torch.device = "cpu",
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
) -> TrainedModel:
    """Load a bundle from a folder, or by its name on the Hugging Face Hub; several as an ensemble.

    Nothing in a bundle chooses code: parts are looked up by registered name, weights are
    safetensors, the rest is JSON, and every file must have the digest of the manifest.

    Args:
        path: a folder, or ``owner/name`` on the Hub if no such folder exists. A list of them is
            an ensemble of encoder-decoders or classifiers: the probabilities of each next token,
            or of each class, are averaged; limits, search and metrics are those of the first.
        device: where to compute.
        revision: branch, tag or commit on the Hub; the newest of its main branch by default.
        token: for what is not public on the Hub; the one that was logged in with by default.
        cache_dir: where what was fetched is kept; the Hub's own folder by default.

    Warns:
        UserWarning: a plugin is installed in another version than the bundle was made with, or a
            weight is NaN or infinite; the first such is named.

    Raises:
        BundleError: no bundle is there, a file is missing, changed or does not fit, a plugin is
            not installed, or the Hub cannot be reached; one line says which. Bundles of an
            ensemble have other vocabularies.
        OptionError: bundles of an ensemble are of another task.
    """
    fetch: dict[str, Any] = {"revision": revision, "token": token, "cache_dir": cache_dir}
    if not isinstance(path, (str, Path)):
        return _load_together(list(path), device, fetch)
    folder = local_bundle(path, **fetch)
    manifest, config = migrated(
        Contents(read_manifest(folder), read_json(folder / "config.json", CONFIG_LIMIT))
    )
    info = _read_info(config, folder / "config.json")
    try:
        _check_sizes(config, info, folder / WEIGHTS)
        processor = Processor.load(folder)
        model = build_model(config, info)
    except SeqlabError as error:
        reason = missing_part(manifest, error)
        if reason is None and isinstance(error, BundleError):
            raise
        reason = reason or f"cannot be rebuilt: {error}"
        raise BundleError(f"bundle {folder} {reason}") from error
    except (RuntimeError, TypeError, ValueError, AttributeError, MemoryError) as error:
        # values of wrong types or sizes, which the parts of a spec are not made to expect
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise BundleError(f"bundle {folder} cannot be rebuilt: {reason}") from error
    if processor.info != info:
        raise BundleError(f"{folder}: config.json and the tokenizer files do not belong together")
    _load_weights(model, folder / WEIGHTS, config["weights"])
    if (name := not_finite(model)) is not None:
        warnings.warn(f"bundle {folder}: the weight '{name}' {WORTHLESS}", stacklevel=2)
    for line in other_versions(manifest):
        warnings.warn(f"bundle {folder}: {line}: answers may differ", stacklevel=2)
    return TrainedModel(model.to(device).eval(), processor, config, manifest, folder)


#: ``load`` under the name that the libraries around the Hub use.
from_pretrained = load


def _load_together(
    paths: Sequence[str | Path], device: str | torch.device, fetch: Mapping[str, Any]
) -> TrainedModel:
    """Several bundles as one model."""
    names = [str(path) for path in paths]
    check_count(names)
    loaded = [load(path, device=device, **fetch) for path in paths]
    if len(loaded) == 1:
        return loaded[0]
    check_alike([one.processor for one in loaded], names)
    first = loaded[0]
    model = Ensemble([one.model for one in loaded]).eval()
    return TrainedModel(model, first.processor, first.config, first.manifest)


def _check_sizes(config: Mapping[str, Any], info: DataInfo, weights: Path) -> None:
    """Compare the shapes a config asks for with those stored, before memory is taken for them.

    A part that cannot be built without memory is bounded by the numbers in the config instead:
    no size can be larger than all weights together.
    """
    try:
        with safe_open(weights, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            stored = {name: tuple(part.get_shape()) for name, part in slices.items()}
            types = {name: str(part.get_dtype()) for name, part in slices.items()}
    except SafetensorError as error:
        raise BundleError(f"{weights} cannot be read: {error}") from error
    stored = whole_shapes(stored, types, config.get("weights"), weights)
    try:
        with torch.device("meta"), new_weights(_no_more_than(len(stored), weights)):
            wanted = {n: tuple(t.shape) for n, t in build_model(config, info).state_dict().items()}
    except (RuntimeError, OverflowError, TypeError) as error:
        if shortage(error) is not None:
            raise BundleError(
                f"{weights}: config.json asks for a tensor larger than any memory"
            ) from error
        if "meta" not in str(error):
            raise
        total = sum(math.prod(shape) for shape in stored.values())
        largest = max(whole_numbers([config["encoder"], config["head"]]), default=0)
        if largest > max(total, ALWAYS_FINE):
            raise BundleError(
                f"{weights}: config.json has the number {largest}, and there are {total} weights"
            ) from error
        return
    for name in sorted({*wanted, *stored}):
        if wanted.get(name) != stored.get(name):
            raise BundleError(
                f"{weights}: tensor '{name}' is {stored.get(name, 'missing')}, "
                f"and config.json asks for {wanted.get(name, 'none')}"
            )


def _no_more_than(count: int, weights: Path) -> See:
    """Refuses a model of far more weight tensors than are stored, before all of them are made."""
    left = _ALWAYS_MADE + 2 * count

    def see(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal left
        del module, name, parameter
        left -= 1
        if left < 0:
            raise BundleError(
                f"{weights}: config.json asks for more tensors than the {count} stored"
            )

    return see


def _load_weights(model: SequenceModel, path: Path, weights: Any) -> None:
    tensors = unpacked(load_file(path), weights)
    floating = {t.dtype for t in tensors.values() if t.is_floating_point()}
    if floating == {torch.float64}:
        model.double()
    model.load_state_dict(tensors)


def _read_info(config: Any, path: Path) -> DataInfo:
    try:
        raw = config["info"]
        features = tuple(FeatureInfo(**feature) for feature in raw["features"])
        return DataInfo(features, _target_info(raw["target"]))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{path}: 'info' does not describe features and target") from error


def _target_info(raw: Mapping[str, Any]) -> TargetInfo:
    target = _tuples(raw)
    target["statistics"] = TargetStatistics(**_tuples(target.get("statistics", {})))
    target["parts"] = {name: _target_info(part) for name, part in raw.get("parts", {}).items()}
    return TargetInfo(**target)


def _tuples(raw: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's lists as the tuples that were written."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
