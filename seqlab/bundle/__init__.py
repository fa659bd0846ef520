"""A finished model as a folder: safetensors and JSON, loaded without running code from it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqlab.bundle.loading import from_pretrained, load
    from seqlab.bundle.saving import save_bundle
    from seqlab.bundle.trained import TrainedModel, readable

__all__ = ["TrainedModel", "from_pretrained", "load", "readable", "save_bundle"]
_MODULES = {"from_pretrained": "loading", "load": "loading", "save_bundle": "saving"}


def __getattr__(name: str) -> Any:
    """What needs torch is imported when it is asked for: where a bundle is can be told without."""
    if name not in __all__:
        raise AttributeError(f"module 'seqlab.bundle' has no attribute '{name}'")
    return getattr(importlib.import_module(f"seqlab.bundle.{_MODULES.get(name, 'trained')}"), name)
