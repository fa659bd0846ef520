"""A finished model as a folder: safetensors and JSON, loaded without running code from it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqlab.bundle.trained import TrainedModel, from_pretrained, load, readable, save_bundle

__all__ = ["TrainedModel", "from_pretrained", "load", "readable", "save_bundle"]


def __getattr__(name: str) -> Any:
    """What needs torch is imported when it is asked for: where a bundle is can be told without."""
    if name not in __all__:
        raise AttributeError(f"module 'seqlab.bundle' has no attribute '{name}'")
    return getattr(importlib.import_module("seqlab.bundle.trained"), name)
