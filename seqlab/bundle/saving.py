"""A finished model written as a folder: safetensors and JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from seqlab.bundle.card import model_card
from seqlab.bundle.eight_bits import packed
from seqlab.bundle.finite import not_finite
from seqlab.bundle.formats import FORMAT
from seqlab.bundle.manifest import MANIFEST, MANIFEST_LIMIT, make_manifest
from seqlab.bundle.place import WEIGHTS
from seqlab.data.processor import Processor
from seqlab.errors import BundleError, RunError, listed
from seqlab.files import atomic_folder, check_replaceable, read_json, write_json
from seqlab.model import SequenceModel

_MEND = "move it away, or choose another place for the bundle"
#: What systems leave in folders that people look at.
_LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")


def save_bundle(
    folder: str | Path,
    model: SequenceModel,
    processor: Processor,
    spec: Mapping[str, Any],
    *,
    metrics: Mapping[str, Mapping[str, float]] | None = None,
    data_identity: Mapping[str, Any] | None = None,
) -> Path:
    """Write a bundle; a bundle of that name is replaced, in one step.

    Weights that ``seqlab.quantize`` has rounded are stored as bytes and scales.

    Args:
        folder: where to.
        model: the trained model.
        processor: what it was trained with.
        spec: the run's spec; ``source``, ``data``, ``encoder`` and ``head`` of it are kept.
        metrics: measured values by split, for the model card.
        data_identity: ``Source.describe()``, for the model card.

    Raises:
        RunError: the folder cannot be written, or holds other things than a bundle.
    """
    parts = {key: spec[key] for key in ("source", "data", "encoder", "head") if key in spec}
    tensors, kind = packed(model, _tensors(model))
    info = dataclasses.asdict(processor.info)
    config = {"format": FORMAT, "weights": kind, **parts, "info": info}
    check_place(folder)
    with atomic_folder(folder, MANIFEST) as new:
        write_json(new / "config.json", config)
        (new / WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))
        processor.save(new)
        card = model_card(
            config, metrics or {}, data_identity or {}, _size(model), not_finite(model)
        )
        (new / "README.md").write_text(card, encoding="utf-8", errors="backslashreplace")
        write_json(new / MANIFEST, make_manifest(new, config))
    return Path(folder)


def check_place(folder: str | Path) -> None:
    """Refuse a place for a bundle where other things lie than an earlier one: they would be lost.

    Raises:
        RunError: a file, a folder that is no bundle, or a bundle with other files beside its own.
    """
    place = Path(folder)
    check_replaceable(place, MANIFEST, _MEND)
    if not (place / MANIFEST).is_file():
        return
    try:
        own = {MANIFEST, *_LITTER, *read_json(place / MANIFEST, MANIFEST_LIMIT).get("files", ())}
    except BundleError as error:
        raise RunError(f"{error}; {_MEND}") from error
    if others := sorted(path.name for path in place.iterdir() if path.name not in own):
        found = f"{place} has {listed(others)} beside the bundle, which would be lost"
        raise RunError(f"{found}; {_MEND}")


def _tensors(model: SequenceModel) -> dict[str, torch.Tensor]:
    """The state dict without sharing; tied tensors are stored once under each name."""
    return {
        name: value.detach().cpu().contiguous().clone()
        for name, value in model.state_dict().items()
    }


def _size(model: SequenceModel) -> int:
    return sum(p.numel() for p in model.parameters())
