"""A folder of converted layers: ``layers.json`` with specs, ``model.safetensors`` with weights."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save

from seqlab.compat.spec import build_layer
from seqlab.errors import DataError, SeqlabError
from seqlab.files import atomic_folder, write_json
from seqlab.layers.base import Layer

FORMAT = 1
SPECS, WEIGHTS = "layers.json", "model.safetensors"
_DTYPES = {"float16", "bfloat16", "float32", "float64"}


def save_layers(folder: str | Path, layers: Iterable[tuple[str, Mapping[str, Any], Layer]]) -> None:
    """Write layers with their names and specs (see ``seqlab.compat.spec``).

    Raises:
        RunError: the folder cannot be written.
    """
    described, tensors = {}, {}
    for name, spec, layer in layers:
        dtype = str(next(layer.parameters()).dtype).removeprefix("torch.")
        described[name] = {"spec": spec, "dtype": dtype}
        for key, value in layer.state_dict().items():
            tensors[f"{name}/{key}"] = value.contiguous()
    with atomic_folder(folder) as new:
        write_json(new / SPECS, {"format": FORMAT, "layers": described})
        (new / WEIGHTS).write_bytes(save(tensors))


def load_layers(folder: str | Path) -> list[tuple[str, dict[str, Any], Layer]]:
    """The names, specs and layers of a folder that ``save_layers`` wrote.

    Nothing in the folder chooses code: cells and options are registered names.

    Raises:
        DataError: a file is missing or damaged, or the weights do not fit the specs.
    """
    folder = Path(folder)
    try:
        text = json.loads((folder / SPECS).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except (OSError, ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise DataError(f"{folder}: not a folder of converted layers: {error}") from error
    if not isinstance(text, dict) or text.get("format") != FORMAT:
        raise DataError(f"{folder / SPECS}: expected format {FORMAT}")
    found = []
    if not isinstance(text.get("layers"), dict):
        raise DataError(f"{folder / SPECS}: the key layers is missing")
    for name, part in text["layers"].items():
        where = f"{folder / SPECS}: {name}"
        mine = {
            key.removeprefix(f"{name}/"): value
            for key, value in tensors.items()
            if key.startswith(f"{name}/")
        }
        try:
            if part["dtype"] not in _DTYPES:
                raise DataError(f"dtype must be one of {', '.join(sorted(_DTYPES))}")
            layer = build_layer(part["spec"], "spec").to(getattr(torch, part["dtype"]))
            layer.load_state_dict(mine)
        except (SeqlabError, RuntimeError, KeyError, TypeError) as error:
            raise DataError(f"{where}: {' '.join(str(error).split())}") from error
        found.append((name, part["spec"], layer))
    return found
