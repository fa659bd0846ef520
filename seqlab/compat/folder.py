"""A folder of converted layers: ``layers.json`` with specs, ``model.safetensors`` with weights."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from seqlab.compat.layer_spec import build_layer, recurrent_parts
from seqlab.errors import DataError, SeqlabError
from seqlab.files import atomic_folder, reading, write_json
from seqlab.layers.base import Layer
from seqlab.memory import ALWAYS_FINE, whole_numbers
from seqlab.schema import check_fields

FORMAT = 1
SPECS, WEIGHTS = "layers.json", "model.safetensors"


@dataclass(frozen=True)
class _Described:
    """One layer in ``layers.json``."""

    spec: dict[str, Any]
    dtype: Literal["float16", "bfloat16", "float32", "float64"]


def save_layers(folder: str | Path, layers: Iterable[tuple[str, Mapping[str, Any], Layer]]) -> None:
    """Write layers with their names and specs (see ``seqlab.compat.layer_spec``).

    Raises:
        RunError: the folder cannot be written, or holds other things.
    """
    described, tensors = {}, {}
    for name, spec, layer in layers:
        dtype = str(next(layer.parameters()).dtype).removeprefix("torch.")
        described[name] = {"spec": spec, "dtype": dtype}
        for key, value in layer.state_dict().items():
            tensors[f"{name}/{key}"] = value.contiguous()
    with atomic_folder(folder, SPECS) as new:
        write_json(new / SPECS, {"format": FORMAT, "layers": described})
        (new / WEIGHTS).write_bytes(save(tensors))


def load_layers(folder: str | Path) -> list[tuple[str, dict[str, Any], Layer]]:
    """The names, specs and layers of a folder that ``save_layers`` wrote.

    Nothing in the folder chooses code: cells and options are registered names.

    Raises:
        DataError: a file is missing or damaged, or the weights do not fit the specs.
    """
    folder = Path(folder)
    with reading(folder, DataError, "a folder of converted layers"):
        text = json.loads((folder / SPECS).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
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
        with reading(where, DataError, "a converted layer"):
            try:
                layer = _layer(check_fields(part, _Described, ""), mine)
            except SeqlabError as error:
                raise DataError(f"{where}: {error}") from error
        found.append((name, part["spec"], layer))
    return found


def _layer(part: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Layer:
    """The layer of a spec with weights, whose number and shapes are compared before it is made."""
    spec, dtype = part["spec"], getattr(torch, part["dtype"])
    if recurrent_parts(spec) > len(tensors):
        raise DataError(f"spec: more layers than the {len(tensors)} tensors that are stored")
    _check_sizes(spec, {name: tuple(value.shape) for name, value in tensors.items()})
    layer = build_layer(spec, "spec").to(dtype)
    layer.load_state_dict(dict(tensors))
    return layer


def _check_sizes(spec: Any, stored: Mapping[str, tuple[int, ...]]) -> None:
    try:
        with torch.device("meta"):
            state = build_layer(spec, "spec").state_dict()
    except RuntimeError as error:
        if "meta" not in str(error):
            raise  # a cell that needs memory to be built: no size is above all weights together
        total = sum(math.prod(shape) for shape in stored.values())
        largest = max(whole_numbers(spec), default=0)
        if largest > max(total, ALWAYS_FINE):
            raise DataError(f"spec: the number {largest}, and {total} weights") from error
        return
    wanted = {name: tuple(value.shape) for name, value in state.items()}
    for name in sorted({*wanted, *stored}):
        if wanted.get(name) != stored.get(name):
            raise DataError(
                f"tensor {name} is {stored.get(name, 'missing')}, and the spec asks for "
                f"{wanted.get(name, 'none')}"
            )
