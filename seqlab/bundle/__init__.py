"""A finished model as a folder: safetensors and JSON, loaded without running code from it."""

from __future__ import annotations

from seqlab.bundle.trained import TrainedModel, load, readable, save_bundle

__all__ = ["TrainedModel", "load", "readable", "save_bundle"]
