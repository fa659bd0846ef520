"""The layers and cells that a config may name: a fixed table, so that no file chooses code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqlab.compat.keras.base import KerasLayer
from seqlab.compat.keras.bidirectional import Bidirectional
from seqlab.compat.keras.cells import CellLike, RegisteredCell, StackedRNNCells
from seqlab.compat.keras.keras_cells import GRUCell, LSTMCell, SimpleRNNCell
from seqlab.compat.keras.recurrent import GRU, LSTM, SimpleRNN
from seqlab.compat.keras.rnn import RNN
from seqlab.compat.keras.time_distributed import TimeDistributed
from seqlab.errors import OptionError, did_you_mean

LAYERS: dict[str, type[KerasLayer]] = {
    cls.__name__: cls for cls in (SimpleRNN, LSTM, GRU, RNN, Bidirectional, TimeDistributed)
}

CELLS: dict[str, Any] = {
    cls.__name__: cls for cls in (SimpleRNNCell, LSTMCell, GRUCell, StackedRNNCells)
}


def layer_config(layer: KerasLayer) -> dict[str, Any]:
    """A layer's class name and config, as Keras nests them."""
    return {
        "module": "keras.layers",
        "class_name": type(layer).__name__,
        "config": layer.get_config(),
        "registered_name": None,
    }


def layer_of(config: Any) -> KerasLayer:
    """The layer that a nested config describes.

    Raises:
        OptionError: the config has another form, or names a class that is not in the table.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("config"), Mapping):
        raise OptionError(f"expected a mapping with class_name and config, got {config!r:.80}")
    name = config.get("class_name")
    if name not in LAYERS:
        raise OptionError(f"unknown layer class {name!r}: {did_you_mean(str(name), LAYERS)}")
    return LAYERS[name].from_config(config["config"])


def cell_of(config: Any) -> CellLike:
    """The cell that a nested config describes.

    Raises:
        OptionError: a class name that is not one of Keras's cells.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("config"), Mapping):
        raise OptionError(
            f"cell: expected a mapping with class_name and config, got {config!r:.80}"
        )
    name = config.get("class_name")
    if name == "seqlab":
        return RegisteredCell(config["config"])
    if name not in CELLS:
        raise OptionError(f"cell: unknown cell class {name!r}: {did_you_mean(str(name), CELLS)}")
    made: CellLike = CELLS[name].from_config(config["config"])
    return made
