"""Between seqlab's layers and ``torch.nn.RNN``, ``LSTM`` and ``GRU``: all layers, both directions.

torch has two biases everywhere. seqlab's LSTM and RNN have one, the sum; on the way back the second
one is zero. GRU has both. Gate orders and matrices are the same, so nothing else is computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.cells.gated import GatedCell
from seqlab.compat.layer_spec import build_layer, refuse_trained_state
from seqlab.compat.torch_form import (
    TORCH_NAME,
    TorchForm,
    check_shapes,
    form_of,
    spell_shape,
)
from seqlab.errors import OptionError, ShapeError
from seqlab.layers.base import Layer
from seqlab.layers.recurrent import Recurrent
from seqlab.wrappers.bidirectional import Bidirectional
from seqlab.wrappers.stacked import Stacked

__all__ = [
    "TorchForm",
    "form_of",
    "from_torch",
    "load_torch_state",
    "rename_torch_state",
    "to_torch",
    "torch_form",
    "torch_state",
]

_KERNELS = {
    "lstm": ("LSTM", ""),
    "gru": ("GRU", ""),
    "rnn_tanh": ("RNN", "tanh"),
    "rnn_relu": ("RNN", "relu"),
}


def from_torch(source: nn.RNNBase | Mapping[str, Tensor], nonlinearity: str = "tanh") -> Layer:
    """The seqlab layer with the form and the weights of a module or a state dict.

    Args:
        source: the module or its state dict, without a prefix.
        nonlinearity: ``tanh`` or ``relu``, for a state dict of ``nn.RNN``.

    Raises:
        ShapeError: the state dict is not that of a recurrent module.

    Example:
        >>> layer = from_torch(nn.LSTM(3, 4, num_layers=2, bidirectional=True))
        >>> layer(torch.zeros(2, 5, 3))[0].shape
        torch.Size([2, 5, 8])
    """
    form = form_of(source, nonlinearity)
    state = source.state_dict() if isinstance(source, nn.RNNBase) else source
    like = state["weight_ih_l0"]
    layer = build_layer(form.spec()).to(device=like.device, dtype=like.dtype)
    load_torch_state(layer, state)
    return layer


@torch.no_grad()
def load_torch_state(layer: Layer, state: Mapping[str, Tensor]) -> None:
    """Copy torch's weights into a layer of the same form.

    Raises:
        OptionError: torch has no module of the layer's form.
        ShapeError: the weights are those of another form.
    """
    check_shapes(torch_form(layer), state)
    for suffix, cell in _cells(layer):
        cell.weight_ih.copy_(state[f"weight_ih{suffix}"])
        cell.weight_hh.copy_(state[f"weight_hh{suffix}"])
        if cell.weight_hr is not None:
            cell.weight_hr.copy_(state[f"weight_hr{suffix}"])
        if cell.bias is not None:
            first, second = state[f"bias_ih{suffix}"], state[f"bias_hh{suffix}"]
            if cell.recurrent_bias is None:
                cell.bias.copy_(first + second)
            else:
                cell.bias.copy_(first)
                cell.recurrent_bias.copy_(second)


def torch_state(layer: Layer) -> dict[str, Tensor]:
    """A layer's weights under torch's names, as copies.

    Raises:
        OptionError: torch has no module of the layer's form.
    """
    torch_form(layer)
    state: dict[str, Tensor] = {}
    for suffix, cell in _cells(layer):
        state[f"weight_ih{suffix}"] = cell.weight_ih
        state[f"weight_hh{suffix}"] = cell.weight_hh
        if cell.bias is not None:
            second = cell.recurrent_bias
            state[f"bias_ih{suffix}"] = cell.bias
            state[f"bias_hh{suffix}"] = torch.zeros_like(cell.bias) if second is None else second
        if cell.weight_hr is not None:
            state[f"weight_hr{suffix}"] = cell.weight_hr
    return {name: value.detach().clone() for name, value in state.items()}


def to_torch(layer: Layer) -> nn.RNNBase:
    """The ``torch.nn`` module, batch-first, with the form and the weights of a layer.

    Raises:
        OptionError: torch has no module of the layer's form; the message says why.
    """
    form = torch_form(layer)
    state = torch_state(layer)
    like = state["weight_ih_l0"]
    module = form.module().to(device=like.device, dtype=like.dtype)
    module.load_state_dict(state)
    return module


def _levels(layer: Layer) -> list[Layer]:
    if not isinstance(layer, Stacked):
        return [layer]
    if layer.residual:
        raise OptionError("torch's modules have no residual connections")
    return [part for part in layer.layers if isinstance(part, Layer)]


def _directions(level: Layer) -> list[Layer]:
    if not isinstance(level, Bidirectional):
        return [level]
    if type(level.merge).__name__ != "Concat":
        raise OptionError("torch's bidirectional modules merge by concat only")
    return [level.forward_layer, level.backward_layer]


def _cells(layer: Layer) -> Iterator[tuple[str, GatedCell]]:
    """The cells with torch's suffixes, such as ``_l1_reverse``."""
    for index, level in enumerate(_levels(layer)):
        for part, reverse in zip(_directions(level), ("", "_reverse"), strict=False):
            if not isinstance(part, Recurrent) or not isinstance(part.cell, GatedCell):
                raise OptionError(f"torch has no module like {type(part).__name__} here")
            if part.reverse != bool(reverse):
                raise OptionError("torch's modules run forward, or in both directions")
            yield f"_l{index}{reverse}", part.cell


def torch_form(layer: Layer) -> TorchForm:
    """The form of the torch module that equals a layer.

    Raises:
        OptionError: there is none; the message says why.
    """
    refuse_trained_state(layer, "a torch module")
    cells = [cell for _, cell in _cells(layer)]
    first = cells[0]
    names = set()
    for cell in cells:
        for option in ("dropout", "recurrent_dropout", "weight_dropout"):
            if getattr(cell, option):
                raise OptionError(f"torch's modules have no {option} inside a cell")
        kernel = cell.vendor_kernel()
        if kernel.name is None:
            raise OptionError(f"torch has no module with this cell: {kernel.reason}")
        names.add((kernel.name, cell.hidden_size, cell.use_bias, cell.proj_size))
    widths = {len(_directions(level)) for level in _levels(layer)}
    if len(names) > 1 or len(widths) > 1:
        raise OptionError("torch's modules have the same cell, width and directions in all layers")
    kind, nonlinearity = _KERNELS[str(first.vendor_kernel().name)]
    return TorchForm(
        kind,
        layer.input_size,
        first.hidden_size,
        len(_levels(layer)),
        widths == {2},
        first.use_bias,
        first.proj_size or 0,
        nonlinearity or "tanh",
        float(layer.dropout) if isinstance(layer, Stacked) else 0.0,
    )


@torch.no_grad()
def rename_torch_state(layer: Layer, state: MutableMapping[str, Any], prefix: str) -> None:
    """Put the layer's own names and forms in the place of torch's in a state dict.

    The options of a cell that say how it is trained, such as dropout, are free.

    Args:
        layer: the layer that reads the state dict.
        state: its names begin with ``prefix``; others are left alone.
        prefix: what stands before the layer's names.

    Raises:
        ShapeError: the names or sizes are those of another form.
        OptionError: torch has no module of the layer's form.
    """
    theirs = {
        name.removeprefix(prefix): state.pop(name)
        for name in list(state)
        if name.startswith(prefix) and TORCH_NAME.fullmatch(name.removeprefix(prefix))
    }
    paths = {id(module): name for name, module in layer.named_modules()}
    for suffix, cell in _cells(layer):
        own = f"{prefix}{paths[id(cell)]}."
        bias = [theirs.pop(f"bias_{side}{suffix}", None) for side in ("ih", "hh")]
        for kind in ("weight_ih", "weight_hh", "weight_hr"):
            value = theirs.pop(f"{kind}{suffix}", None)
            parameter = getattr(cell, kind)
            if value is None and parameter is None:
                continue
            if value is None or parameter is None or value.shape != parameter.shape:
                wanted = "none" if parameter is None else spell_shape(parameter)
                found = "missing" if value is None else spell_shape(value)
                raise ShapeError(f"{prefix}{kind}{suffix} is {found}, the layer has {wanted}")
            state[f"{own}{kind}"] = value
        if cell.bias is None or bias[0] is None or bias[1] is None:
            if cell.bias is not None or any(value is not None for value in bias):
                raise ShapeError(f"{prefix}bias_ih{suffix}: the layer and torch's differ in biases")
        elif cell.recurrent_bias is None:
            state[f"{own}bias"] = bias[0] + bias[1]
        else:
            state[f"{own}bias"], state[f"{own}recurrent_bias"] = bias
    if theirs:
        raise ShapeError(f"{prefix}{min(theirs)} has no place: the layer has fewer levels")
