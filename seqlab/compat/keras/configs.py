"""The layers and cells that a config may name: a fixed table, so that no file chooses code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from seqlab.errors import OptionError, did_you_mean

C = TypeVar("C", bound=type)

LAYERS: dict[str, Any] = {}
CELLS: dict[str, Any] = {}


def known_layer(cls: C) -> C:
    """Enter one of Keras's layers into the table, under its class name."""
    LAYERS[cls.__name__] = cls
    return cls


def known_cell(cls: C) -> C:
    """Enter one of Keras's cells into the table, under its class name."""
    CELLS[cls.__name__] = cls
    return cls


def nested_config(part: Any) -> dict[str, Any]:
    """A layer's or cell's class name and config, as Keras nests them."""
    return {
        "module": "keras.layers",
        "class_name": type(part).__name__,
        "config": part.get_config(),
        "registered_name": None,
    }


def layer_of(config: Any) -> Any:
    """The layer that a nested config describes.

    Raises:
        OptionError: the config has another form, or names a class that is not in the table.
    """
    return _part_of(config, LAYERS, "layer")


def cell_of(config: Any) -> Any:
    """The cell that a nested config describes: one of Keras's, or a registered one's spec.

    Raises:
        OptionError: the config has another form, or names a class that is not in the table.
    """
    if isinstance(config, Mapping) and config.get("class_name") == "seqlab":
        return config.get("config")
    return _part_of(config, CELLS, "cell")


def _part_of(config: Any, known: Mapping[str, Any], what: str) -> Any:
    if not isinstance(config, Mapping) or not isinstance(config.get("config"), Mapping):
        raise OptionError(
            f"{what}: expected a mapping with class_name and config, got {config!r:.80}"
        )
    name = str(config.get("class_name"))
    if name not in known:
        raise OptionError(f"{what}: unknown class '{name}': {did_you_mean(name, known)}")
    return known[name].from_config(config["config"])
