"""Between the facade's layers and seqlab's: the same form, the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from seqlab.compat.keras.base import KerasLayer
from seqlab.compat.keras.bidirectional import Bidirectional
from seqlab.compat.keras.cells import CellLike, RegisteredCell, StackedRNNCells
from seqlab.compat.keras.keras_cells import KINDS, KerasCell
from seqlab.compat.keras.layouts import assign_keras_weights, keras_weights
from seqlab.compat.keras.names import to_seqlab
from seqlab.compat.keras.recurrent import GRU, LSTM, SimpleRNN
from seqlab.compat.keras.rnn import RNN
from seqlab.compat.layer_spec import build_layer, refuse_trained_state
from seqlab.errors import OptionError, ShapeError
from seqlab.layers.base import Layer

_CLASSES: dict[str, type[RNN]] = {"rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}


def cell_spec(cell: CellLike) -> dict[str, Any]:
    """The registered name and options of a facade's cell, as seqlab writes them."""
    if isinstance(cell, RegisteredCell):
        return cell.get_config()
    if not isinstance(cell, KerasCell):
        raise OptionError(f"{type(cell).__name__} is not one cell")
    spec: dict[str, Any] = {"name": cell.seqlab_name, "hidden_size": cell.units}
    for key, value in cell.options.items():
        value = to_seqlab(KINDS[key], key, value) if key in KINDS else value  # noqa: PLW2901
        if callable(value):
            raise OptionError(f"{key} is {value!r}, which has no registered name")
        if value is not None:
            spec[key] = dict(value) if isinstance(value, Mapping) else value
    return spec


def layer_spec(layer: KerasLayer, input_size: int) -> dict[str, Any]:
    """The spec (see ``seqlab.compat.layer_spec``) of a facade's layer for inputs of a width.

    Raises:
        OptionError: the layer has no seqlab form of its own, such as ``TimeDistributed``.
    """
    if isinstance(layer, Bidirectional):
        return {
            "type": "bidirectional",
            "forward": layer_spec(layer.forward_layer, input_size),
            "backward": layer_spec(layer.backward_layer, input_size),
            "merge_mode": "none" if layer.merge_mode is None else layer.merge_mode,
        }
    if not isinstance(layer, RNN):
        raise OptionError(f"{type(layer).__name__} is not a recurrent layer of its own")
    stacked = isinstance(layer.cell, StackedRNNCells)
    cells = layer.cell.cells if isinstance(layer.cell, StackedRNNCells) else [layer.cell]
    specs: list[dict[str, Any]] = []
    width = input_size
    for cell in cells:
        one: dict[str, Any] = {"type": "recurrent", "input_size": width, "cell": cell_spec(cell)}
        specs.append({**one, "reverse": True} if layer.go_backwards else one)
        width = cell.output_size
    return {"type": "stacked", "layers": specs} if stacked else specs[0]


def to_seqlab_layer(layer: KerasLayer) -> Layer:
    """The seqlab layer with the form and copies of the weights of a built facade layer.

    Masked steps output zeros and all steps are returned, as seqlab's layers do.

    Raises:
        ShapeError: the layer has no weights yet.
        OptionError: the layer has no seqlab form of its own.
    """
    parts = layer.parts()
    if not parts:
        raise ShapeError(f"{type(layer).__name__}: not built, so there are no weights to convert")
    made = build_layer(layer_spec(layer, parts[0].input_size)).to(layer.dtype)
    source = [cell for part in parts for cell in part.cells()]
    for theirs, ours in zip(source, made.cells(), strict=True):
        assign_keras_weights(ours, list(keras_weights(theirs).values()))
    if isinstance(layer, Bidirectional):
        made.get_submodule("merge").load_state_dict(layer.merge.state_dict())
    return made


@torch.no_grad()
def from_seqlab_layer(layer: Layer, spec: Mapping[str, Any]) -> list[KerasLayer]:
    """The facade's layers, in running order, with the form and weights of a seqlab layer.

    Args:
        layer: the layer.
        spec: its spec (see ``seqlab.compat.layer_spec``).

    Raises:
        OptionError: Keras has no layer like one of the parts; the message names it.
    """
    refuse_trained_state(layer, "a Keras layer")
    if spec["type"] == "stacked":
        parts = layer.get_submodule("layers").children()
        return [
            made
            for part, own in zip(parts, spec["layers"], strict=True)
            if isinstance(part, Layer)
            for made in from_seqlab_layer(part, own)
        ]
    made = _empty_layer(spec)
    made.dtype = next(layer.parameters()).dtype
    made.build(layer.input_size)
    for ours, theirs in zip(
        [c for part in made.parts() for c in part.cells()], layer.cells(), strict=True
    ):
        ours.to(made.dtype)
        assign_keras_weights(ours, list(keras_weights(theirs).values()))
    return [made]


def _empty_layer(spec: Mapping[str, Any]) -> RNN | Bidirectional:
    if spec["type"] == "recurrent":
        return _empty_rnn(spec)
    if spec["type"] == "bidirectional":
        parts = [spec["forward"], spec["backward"]]
        if any(part["type"] != "recurrent" for part in parts):
            raise OptionError("Keras's Bidirectional runs single layers only")
        merge = spec.get("merge_mode", "concat")
        if merge not in ("concat", "sum", "mul", "ave", "none"):
            raise OptionError(f"Keras has no merge {merge!r}")
        forward, backward = (_empty_rnn(part) for part in parts)
        return Bidirectional(forward, None if merge == "none" else merge, backward_layer=backward)
    raise OptionError(f"Keras has no single layer of type {spec['type']}")


def _empty_rnn(spec: Mapping[str, Any]) -> RNN:
    options = {k: v for k, v in spec["cell"].items() if k not in ("name", "hidden_size")}
    name = spec["cell"]["name"]
    cls = _CLASSES.get(name)
    if cls is None:
        raise OptionError(f"Keras has no layer with the cell '{name}'")
    flags = {"return_sequences": True, "go_backwards": bool(spec.get("reverse", False))}
    if name == "rnn":
        options.pop("recurrent_activation", None)
    return cls(spec["cell"]["hidden_size"], **options, **flags)
