"""Recurrent layers from one library's files to another's, with a report of the differences.

Read: ``.keras``, ``.weights.h5``; torch state dicts in ``.safetensors``, ``.pt``, ``.pth`` or
``.bin`` (tensors only); folders written here. Written: a folder (see ``seqlab.compat.folder``), a
torch state dict, a Keras file.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from seqlab.compat.folder import load_layers, save_layers
from seqlab.compat.keras.base import KerasLayer
from seqlab.compat.keras.files import load_keras, save_keras
from seqlab.compat.keras.layouts import assign_keras_weights, keras_weights
from seqlab.compat.keras.reference import reference_outputs
from seqlab.compat.keras.transfer import from_seqlab_layer, layer_spec, to_seqlab_layer
from seqlab.compat.layer_spec import build_layer, recurrent_layers
from seqlab.compat.torch import form_of, from_torch, to_torch, torch_form, torch_state
from seqlab.errors import ConfigError, DataError, OptionError, SeqlabError
from seqlab.files import atomic_writer, reading
from seqlab.layers.base import Layer

TORCH_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
_KERAS_KINDS = {"RNNCell": "SimpleRNN", "LSTMCell": "LSTM", "GRUCell": "GRU"}


class Converted(NamedTuple):
    """One recurrent layer that was read.

    ``weights`` is the largest difference between the weights of the file and those converted
    there and back; ``outputs`` that between the layer's outputs and an independent computation
    (torch's module, or Keras's equations) on the same weights, in float64, on random input; None
    where there is none, as for a plugin's cell.
    """

    name: str
    spec: dict[str, Any]
    layer: Layer
    weights: float
    outputs: float | None


def read_layers(path: str | Path, nonlinearity: str = "tanh") -> tuple[list[Converted], list[str]]:
    """All recurrent layers of a file or folder, and the names of what is left out.

    Args:
        path: see the module.
        nonlinearity: ``tanh`` or ``relu``: what a torch state dict of ``nn.RNN`` does not say.

    Raises:
        DataError: the file is missing, damaged, of another kind, or holds no recurrent layer.
    """
    path = Path(path)
    if path.is_dir():
        return [_checked(*part) for part in load_layers(path)], []
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix == ".keras" or path.name.endswith(".weights.h5"):
        found, others = load_keras(path)
        layers = [_from_keras(name, layer) for name, layer in found.items()]
    elif path.suffix in TORCH_SUFFIXES:
        layers, others = _read_torch(path, nonlinearity)
    else:
        known = ", ".join((".keras", ".weights.h5", *TORCH_SUFFIXES))
        raise DataError(f"{path}: unknown kind of file, expected a folder or {known}")
    if not layers:
        raise DataError(f"{path}: no recurrent layer found")
    return layers, others


# -- from Keras ----------------------------------------------------------------------------------


def _from_keras(name: str, source: KerasLayer) -> Converted:
    layer = to_seqlab_layer(source)
    theirs = [t for p in source.parts() for c in p.cells() for t in _kept(c)]
    ours = [t for cell in layer.cells() for t in _kept(cell)]
    spec = layer_spec(source, layer.input_size)
    return Converted(name, spec, layer, _largest(theirs, ours), _keras_difference(layer))


def _keras_difference(layer: Layer) -> float | None:
    """Each layer of one cell against Keras's equations on the arrays in Keras's layout."""
    found = []
    for part in recurrent_layers(copy.deepcopy(layer).double().eval()):
        cell: Any = part.cell
        kind = _KERAS_KINDS.get(type(cell).__name__)
        if kind is None or len(_kept(cell)) > 2 + int(cell.use_bias) or any(cell.zoneout):
            return None
        options = {
            "activation": cell.activation_spec,
            "recurrent_activation": cell.recurrent_activation_spec,
            "reset_after": getattr(cell, "reset_after", True),
        }
        x = _probe(part.input_size)
        expected = reference_outputs(kind, _kept(cell), options, x.flip(1) if part.reverse else x)
        with torch.no_grad():
            output, _ = part(x)
        found.append(_largest([output], [expected.flip(1) if part.reverse else expected]))
    return max(found)


# -- from torch ----------------------------------------------------------------------------------


def _read_torch(path: Path, nonlinearity: str) -> tuple[list[Converted], list[str]]:
    state = _load_state(path)
    prefixes = [key.removesuffix("weight_ih_l0") for key in state if key.endswith("weight_ih_l0")]
    layers, used = [], set()
    for prefix in prefixes:
        mine = {
            key.removeprefix(prefix): value
            for key, value in state.items()
            if key.startswith(prefix) and "." not in key.removeprefix(prefix)
        }
        mine = {key: value for key, value in mine.items() if "_l" in key}
        used |= {prefix + key for key in mine}
        name = prefix.strip(".") or "rnn"
        with reading(f"{path}: {name}", DataError, "a recurrent module of torch"):
            try:
                layers.append(_from_torch(name, mine, nonlinearity))
            except SeqlabError as error:
                raise DataError(f"{path}: {name}: {error}") from error
    return layers, sorted(set(state) - used)


def _load_state(path: Path) -> dict[str, Tensor]:
    with reading(path, DataError, "a file of tensors"):
        if path.suffix == ".safetensors":
            return load_file(path)
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise DataError(
                f"{path}: holds more than tensors, or is damaged; no other objects are read from "
                "a file, so save module.state_dict() instead"
            ) from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping):
        raise DataError(f"{path}: expected a state dict, got {type(loaded).__name__}")
    return {str(key): value for key, value in loaded.items() if isinstance(value, Tensor)}


def _from_torch(name: str, state: Mapping[str, Tensor], nonlinearity: str) -> Converted:
    form = form_of(state, nonlinearity)
    layer = from_torch(state, nonlinearity)
    back = torch_state(layer)
    theirs, ours = [], []
    for key, value in state.items():
        if form.kind != "GRU" and key.startswith("bias"):
            other = key.replace("bias_ih", "bias_hh")
            if key != other:
                theirs.append(value + state[other])
                ours.append(back[key] + back[other])
        else:
            theirs.append(value)
            ours.append(back[key])
    return Converted(
        name, form.spec(), layer, _largest(theirs, ours), _torch_difference(layer, state)
    )


def _torch_difference(layer: Layer, state: Mapping[str, Tensor]) -> float:
    """A layer against torch's module with a state dict."""
    module = torch_form(layer).module().double().eval()
    module.load_state_dict(dict(state))
    x = _probe(layer.input_size)
    with torch.no_grad():
        output, _ = copy.deepcopy(layer).double().eval()(x)
        return _largest([output], [module(x)[0]])


# -- from seqlab's folder ------------------------------------------------------------------------


def _checked(name: str, spec: dict[str, Any], layer: Layer) -> Converted:
    try:
        state = torch_state(layer)
    except OptionError:
        twin = build_layer(spec).to(next(layer.parameters()).dtype)
        for theirs, ours in zip(layer.cells(), twin.cells(), strict=True):
            assign_keras_weights(ours, _kept(theirs))
        kept = [[t for cell in part.cells() for t in _kept(cell)] for part in (layer, twin)]
        return Converted(name, spec, layer, _largest(*kept), _keras_difference(layer))
    back = from_torch(state, torch_form(layer).nonlinearity)
    weights = _largest(list(layer.parameters()), list(back.parameters()))
    return Converted(name, spec, layer, weights, _torch_difference(layer, state))


# -- writing -------------------------------------------------------------------------------------


def write_layers(path: str | Path, layers: list[Converted]) -> float:
    """Write layers in the form that the path's ending names, and read them back.

    Args:
        path: ``.keras`` or ``.weights.h5`` (one layer), ``.safetensors``, ``.pt`` or ``.pth``
            (torch state dicts, with the names as prefixes if there are several), else a folder.
        layers: what was read.

    Returns:
        The largest difference between the weights in the new file and the layers'.

    Raises:
        OptionError: the other library has no such layer; the message says why.
        RunError: the path cannot be written.
    """
    path = Path(path)
    if path.suffix == ".keras" or path.name.endswith(".weights.h5"):
        return _write_keras(path, layers)
    if path.suffix in TORCH_SUFFIXES:
        return _write_torch(path, layers)
    if path.suffix:
        raise ConfigError(
            f"output={path}: unknown ending; expected a folder, .keras, .weights.h5 or "
            f"{', '.join(TORCH_SUFFIXES)}"
        )
    save_layers(path, [(part.name, part.spec, part.layer) for part in layers])
    back = {name: layer.state_dict() for name, _, layer in load_layers(path)}
    return max(
        _largest([value], [back[part.name][key]])
        for part in layers
        for key, value in part.layer.state_dict().items()
    )


def _write_keras(path: Path, layers: list[Converted]) -> float:
    if len(layers) != 1:
        names = ", ".join(part.name for part in layers)
        raise ConfigError(f"output={path}: takes one layer; choose it with layer=NAME of {names}")
    (part,) = layers
    made = from_seqlab_layer(part.layer, part.spec)
    save_keras(path, made)
    back = load_keras(path).layers
    ours = [t for each in made for p in each.parts() for c in p.cells() for t in _kept(c)]
    theirs = [
        t for each in back.values() for p in each.parts() for c in p.cells() for t in _kept(c)
    ]
    return _largest(ours, theirs)


def _kept(cell: Any) -> list[Tensor]:
    return list(keras_weights(cell).values())


def _write_torch(path: Path, layers: list[Converted]) -> float:
    state: dict[str, Tensor] = {}
    for part in layers:
        try:
            torch_form(part.layer)
        except OptionError as error:
            raise OptionError(f"{part.name}: {error}") from error
        prefix = f"{part.name}." if len(layers) > 1 else ""
        for key, value in to_torch(part.layer).state_dict().items():
            state[prefix + key] = value.contiguous()
    with atomic_writer(path) as stream:
        if path.suffix == ".safetensors":
            stream.write(save(state))
        else:
            torch.save(state, stream)
    back = _load_state(path)
    return max(_largest([value], [back[key]]) for key, value in state.items())


def _probe(width: int) -> Tensor:
    """Random input ``[3, 7, D]``, always the same."""
    generator = torch.Generator().manual_seed(20240607)
    return torch.randn(3, 7, width, generator=generator, dtype=torch.float64)


@torch.no_grad()
def _largest(ours: list[Tensor], theirs: list[Tensor]) -> float:
    pairs = [(a.double(), b.double()) for a, b in zip(ours, theirs, strict=True) if a.numel()]
    return max((float((a - b).abs().max()) for a, b in pairs), default=0.0)
