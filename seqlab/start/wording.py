"""A spec and a size in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def name_of(spec: Any) -> str:
    """The registered name in a spec."""
    return str(spec["name"]) if isinstance(spec, Mapping) else str(spec)


def cell_of(encoder: Mapping[str, Any]) -> dict[str, Any]:
    """The cell's spec, with a name."""
    cell = encoder["cell"]
    return dict(cell) if isinstance(cell, Mapping) else {"name": cell}


def encoder_text(encoder: Mapping[str, Any]) -> str:
    """An encoder in a few words."""
    cell = cell_of(encoder)
    wrappers = " ".join(name_of(wrapper) for wrapper in encoder.get("wrappers") or ())
    return " ".join([cell["name"], str(cell.get("hidden_size", "")), wrappers]).strip()


def size_text(tensor: Tensor) -> str:
    """A shape as people write it."""
    return " x ".join(map(str, tensor.shape)) or "one number"
