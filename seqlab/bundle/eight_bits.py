"""Weights that ``seqlab.quantize`` has rounded, in a bundle's file: bytes and scales of rows.

The tensor ``NAME`` is then int8 and ``NAME.scale`` has the scales ``[rows]`` in the model's type.
Their products are the rounded weights to the last bit, so a bundle that is loaded answers as the
model that was saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from seqlab.cells.quantized import quantized_names, scales_of
from seqlab.errors import BundleError, ConfigError

#: What ``config.json`` says of the weights.
EIGHT_BITS, FLOAT = "eight_bits", "float"
_SCALE = ".scale"


def packed(model: torch.nn.Module, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """A model's tensors as they are stored, and what the config says of them.

    Args:
        model: the model.
        tensors: its state dict.
    """
    names = quantized_names(model)
    found = dict(tensors)
    for name in names:
        scale = scales_of(tensors[name])
        if scale is not None:
            found[name] = (tensors[name] / scale.unsqueeze(1)).round().to(torch.int8)
            found[name + _SCALE] = scale.contiguous()
    return found, EIGHT_BITS if names else FLOAT


def unpacked(tensors: Mapping[str, Tensor], weights: Any) -> dict[str, Tensor]:
    """What ``packed`` was given; shapes have been checked before."""
    if weights != EIGHT_BITS:
        return dict(tensors)
    found = {name: value for name, value in tensors.items() if not _is_scale(name, tensors)}
    for name in scaled_names(tensors):
        scale = tensors[name + _SCALE]
        found[name] = scale.unsqueeze(1) * tensors[name].to(scale.dtype)
    return found


def scaled_names(names: Mapping[str, Any]) -> list[str]:
    """Those that have scales beside them."""
    return [name for name in names if name + _SCALE in names]


def whole_shapes(
    stored: Mapping[str, tuple[int, ...]], types: Mapping[str, str], weights: Any, where: object
) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors that a file's make, when its scales fit.

    Args:
        stored: shapes by name, as in the file.
        types: names of their types, as in the file.
        weights: what the config says of them.
        where: the file, for messages.

    Raises:
        BundleError: scales are missing, left over, or of another form.
    """
    if weights not in (EIGHT_BITS, FLOAT):
        raise BundleError(f"{where}: config.json names the weights {weights!r:.40}")
    if weights == FLOAT:
        return dict(stored)
    for name, shape in stored.items():
        scale = name + _SCALE
        if (types[name] == "I8") != (scale in stored):
            raise BundleError(f"{where}: tensor '{name}' of eight bits and its scales do not pair")
        if scale in stored and (
            len(shape) != 2 or stored[scale] != shape[:1] or types[scale] not in ("F32", "F64")
        ):
            raise BundleError(f"{where}: tensor '{scale}' is not a number for each row of '{name}'")
    return {name: shape for name, shape in stored.items() if not _is_scale(name, stored)}


def _is_scale(name: str, names: Mapping[str, Any]) -> bool:
    return name.endswith(_SCALE) and name.removesuffix(_SCALE) in names


def refuse_training(config: Mapping[str, Any], where: object) -> None:
    """See that weights can be trained.

    Raises:
        ConfigError: they are of eight bits, which a step of training would undo.
    """
    if config.get("weights") == EIGHT_BITS:
        raise ConfigError(
            f"start: the weights of {where} are of eight bits, which training would not keep; "
            "start from the bundle that they were rounded from, and round the result"
        )
