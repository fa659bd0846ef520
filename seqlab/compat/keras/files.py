"""The recurrent layers of ``.keras`` and ``.weights.h5`` files, read and written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from seqlab.compat.keras.archive import (
    WeightTree,
    read_archive,
    read_weights,
    write_archive,
    write_weights,
)
from seqlab.compat.keras.base import KerasLayer, dtype_name
from seqlab.compat.keras.bidirectional import Bidirectional
from seqlab.compat.keras.cells import StackedRNNCells
from seqlab.compat.keras.configs import LAYERS, layer_of, nested_config
from seqlab.compat.keras.keras_cells import KerasCell
from seqlab.compat.keras.layouts import keras_weights
from seqlab.compat.keras.names import snake_case
from seqlab.compat.keras.recurrent import GRU, LSTM, SimpleRNN
from seqlab.compat.keras.rnn import RNN
from seqlab.compat.keras.time_distributed import TimeDistributed
from seqlab.errors import DataError, SeqlabError
from seqlab.files import atomic_writer, reading

_BY_GATES: dict[str, type[RNN]] = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}
_MODELS = ("Sequential", "Functional", "Model")


class KerasFile(NamedTuple):
    """What was found: recurrent layers by name, with weights, and the names of all others."""

    layers: dict[str, KerasLayer]
    others: list[str]


def load_keras(path: str | Path) -> KerasFile:
    """The recurrent layers of a ``.keras`` or ``.weights.h5`` file.

    A weights file has no config: the layers get Keras's default options, and a GRU's form is read
    off its bias.

    Raises:
        DataError: the file is missing, damaged, or its weights do not fit its config.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix == ".keras":
        config, tree = read_archive(path)
        found = KerasFile({}, [])
        _walk_model(config, tree, found, str(path), 0)
        return found
    with reading(path, DataError, "a file of recurrent weights"):
        return _guess(read_weights(path), path)


# -- with a config -------------------------------------------------------------------------------


def _walk_model(config: Any, tree: WeightTree, found: KerasFile, path: str, depth: int) -> None:
    """A Sequential or functional model: its layers lie in ``layers/<class>[_<number>]``."""
    inner = config.get("config") if isinstance(config, Mapping) else None
    parts = inner.get("layers") if isinstance(inner, Mapping) else None
    if not isinstance(parts, list) or config.get("class_name") not in _MODELS or depth > 8:
        known = ", ".join(_MODELS[:2])
        raise DataError(f"{path}: the config is not that of a {known} model of layers")
    counts: Counter[str] = Counter()
    for part in parts:
        if not isinstance(part, Mapping) or not isinstance(part.get("config"), Mapping):
            raise DataError(f"{path}: a layer without a config: {part!r:.80}")
        kind = str(part.get("class_name", ""))
        group = snake_case(kind)
        number, counts[group] = counts[group], counts[group] + 1
        below = tree.at(f"layers/{group}_{number}" if number else f"layers/{group}")
        name = _unique(str(part["config"].get("name", group)), found.layers)
        if kind in _MODELS and below is not None:
            _walk_model(part, below, found, path, depth + 1)
        elif kind not in LAYERS:
            found.others.append(name)
        else:
            found.layers[name] = _layer(part, below, f"{path}: {name}")


def _layer(config: Mapping[str, Any], tree: WeightTree | None, where: str) -> KerasLayer:
    if tree is None:
        raise DataError(f"{where}: the weights file has no group for this layer")
    stored = sum(1 for _ in tree.all_arrays())
    if _cells_in(config) > stored:
        raise DataError(f"{where}: the config has more cells than the file has arrays ({stored})")
    with reading(where, DataError, "a layer of Keras"):
        try:
            layer: KerasLayer = layer_of(config)
            _load(layer, tree, where)
        except (SeqlabError, TypeError) as error:
            raise DataError(f"{where}: {str(error).removeprefix(f'{where}: ')}") from error
        return layer


def _cells_in(config: Any) -> int:
    """How many stacked cells a nested config lists."""
    inner = config.values() if isinstance(config, Mapping) else config
    if not isinstance(config, Mapping | list):
        return 0
    cells = config.get("cells") if isinstance(config, Mapping) else None
    return sum(map(_cells_in, inner)) + (len(cells) if isinstance(cells, list) else 0)


def _unique(name: str, taken: Mapping[str, Any]) -> str:
    candidates = (name if n == 0 else f"{name}_{n}" for n in range(len(taken) + 1))
    return next(c for c in candidates if c not in taken)


def _load(layer: KerasLayer, tree: WeightTree, where: str) -> None:
    """Set a layer's weights from its group."""
    arrays = [a for group in _groups(layer, tree, where) for a in group.arrays]
    if not arrays or arrays[0].dim() != 2:
        raise DataError(f"{where}: the group {tree.path} holds no kernel")
    wrong = [array.dtype for array in arrays if not array.is_floating_point()]
    if wrong:
        raise DataError(f"{where}: expected weights of a floating type, got {wrong[0]}")
    with torch.device("meta"):  # shapes are compared before memory is taken
        probe = layer.fresh()
        probe.build(arrays[0].shape[0])
        probe.set_weights([array.to("meta") for array in arrays])
    layer.build(arrays[0].shape[0])
    layer.set_weights(arrays)


def _groups(layer: KerasLayer, tree: WeightTree, where: str) -> list[WeightTree]:
    """The groups of a layer's cells, in the order of its weights."""
    paths: list[tuple[KerasLayer | None, str]]
    if isinstance(layer, Bidirectional):
        paths = [(layer.forward_layer, "forward_layer"), (layer.backward_layer, "backward_layer")]
    elif isinstance(layer, TimeDistributed) and isinstance(layer.layer, KerasLayer):
        paths = [(layer.layer, "layer")]
    elif isinstance(layer, RNN):
        paths = [(None, path) for path in _cell_paths(layer)]
    else:
        raise DataError(f"{where}: {type(layer).__name__} has no weights of its own")
    found: list[WeightTree] = []
    for part, path in paths:
        below = tree.at(path)
        if below is None:
            raise DataError(f"{where}: the group {tree.path}/{path} is missing")
        found += [below] if part is None else _groups(part, below, where)
    return found


def _cell_paths(layer: RNN) -> list[str]:
    """Where Keras puts the arrays of a layer's cells."""
    if not isinstance(layer.cell, StackedRNNCells):
        return ["cell"]
    counts: Counter[str] = Counter()
    paths = []
    for cell in layer.cell.cells:
        group = snake_case(type(cell).__name__)
        number, counts[group] = counts[group], counts[group] + 1
        paths.append(f"cell/cells/{group}_{number}" if number else f"cell/cells/{group}")
    return paths


# -- without a config ----------------------------------------------------------------------------


def _guess(tree: WeightTree, path: Path) -> KerasFile:
    """The recurrent layers of a weights file, by names and shapes."""
    found = KerasFile({}, [])

    def visit(group: WeightTree) -> None:
        layer = _guess_layer(group, path)
        if layer is None:
            if group.arrays:
                found.others.append(group.name or group.path)
            for child in group.children.values():
                visit(child)
        else:
            name = _unique(group.name or group.path.split("/")[-1], found.layers)
            layer.name = name
            _load(layer, group, f"{path}: {name}")
            found.layers[name] = layer

    visit(tree)
    return found


def _guess_layer(group: WeightTree, path: Path) -> KerasLayer | None:
    parts = [group.children.get(f"{side}_layer") for side in ("forward", "backward")]
    if all(part is not None and "cell" in part.children for part in parts):
        forward, backward = (_guess_rnn(part, path) for part in parts if part is not None)
        backward.go_backwards = True
        return Bidirectional(forward, backward_layer=backward)
    cell = group.children.get("cell")
    return _guess_rnn(group, path) if cell is not None and cell.arrays else None


def _guess_rnn(group: WeightTree, path: Path) -> RNN:
    arrays = group.children["cell"].arrays
    where = f"{path}: {group.path}"
    plain = all(a.is_floating_point() and a.numel() for a in arrays)
    if not 2 <= len(arrays) <= 3 or not plain or any(a.dim() != 2 for a in arrays[:2]):
        raise DataError(f"{where}: expected kernel, recurrent kernel and perhaps bias, of numbers")
    units, rows = arrays[1].shape
    kinds = {units: "simple_rnn", 4 * units: "lstm", 3 * units: "gru"}
    kind = kinds.get(rows)
    if kind is None:
        raise DataError(f"{where}: the recurrent kernel {units, rows} has not 1, 3 or 4 gates")
    options: dict[str, Any] = {"return_sequences": True, "dtype": dtype_name(arrays[0].dtype)}
    if len(arrays) == 2:
        options["use_bias"] = False
    if kind == "gru" and len(arrays) == 3:
        options["reset_after"] = arrays[2].dim() == 2
    return _BY_GATES[kind](units, **options)


# -- writing -------------------------------------------------------------------------------------


def save_keras(path: str | Path, layers: Sequence[KerasLayer]) -> None:
    """Write built layers as a Sequential model that Keras loads.

    Args:
        path: a file ending in ``.keras`` (config and weights) or ``.weights.h5`` (weights alone).
        layers: the layers in running order.

    Raises:
        DataError: another ending.
    """
    path = Path(path)
    tree = WeightTree()
    tree.name = "sequential"
    tree.children["layers"] = stack = WeightTree("layers")
    counts: Counter[str] = Counter()
    names: dict[str, Any] = {}
    for layer in layers:
        group = snake_case(type(layer).__name__)
        number, counts[group] = counts[group], counts[group] + 1
        layer.name = _unique(layer.name, names)
        names[layer.name] = stack.children[f"{group}_{number}" if number else group] = _tree(layer)
    if path.name.endswith(".weights.h5"):
        with atomic_writer(path) as stream:
            write_weights(stream, tree)
    elif path.suffix == ".keras":
        write_archive(path, _model_config(layers), tree)
    else:
        raise DataError(f"{path}: Keras's files end in .keras or .weights.h5")


def _tree(layer: KerasLayer) -> WeightTree:
    """The groups of a layer, with its arrays in Keras's layout."""
    tree = WeightTree()
    tree.name = layer.name
    if isinstance(layer, Bidirectional):
        tree.children["forward_layer"] = _tree(layer.forward_layer)
        tree.children["backward_layer"] = _tree(layer.backward_layer)
        return tree
    if not isinstance(layer, RNN) or not isinstance(layer.cell, KerasCell):
        raise DataError(f"{type(layer).__name__} cannot be written into a Keras file")
    (core,) = [cell for part in layer.parts() for cell in part.cells()]
    tree.children["cell"] = cell = WeightTree()
    cell.name = layer.cell.name
    cell.arrays = [array.cpu() for array in keras_weights(core).values()]
    return tree


def _model_config(layers: Sequence[KerasLayer]) -> dict[str, Any]:
    width = layers[0].parts()[0].input_size
    dtype = dtype_name(layers[0].dtype)
    entry = {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": {"batch_shape": [None, None, width], "dtype": dtype, "name": "input_layer"},
        "registered_name": None,
    }
    described = [entry]
    for layer in layers:
        shape = [None, None, layer.parts()[0].input_size]
        described.append({**nested_config(layer), "build_config": {"input_shape": shape}})
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "sequential", "trainable": True, "dtype": dtype, "layers": described},
        "registered_name": None,
        "build_config": {"input_shape": [None, None, width]},
    }
