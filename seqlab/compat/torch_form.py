"""What a recurrent module of ``torch.nn`` is: its class and sizes, also told from a state dict."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from seqlab.errors import OptionError, ShapeError
from seqlab.schema import check_value

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_MODULES = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
#: A parameter of a recurrent module of torch: its kind, level and direction.
TORCH_NAME = re.compile(r"(weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)_l(\d{1,9})(_reverse)?")
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class TorchForm(NamedTuple):
    """What a ``torch.nn`` recurrent module is: its class and arguments."""

    kind: str
    input_size: int
    hidden_size: int
    num_layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    proj_size: int = 0
    nonlinearity: str = "tanh"
    dropout: float = 0.0

    def module(self) -> nn.RNNBase:
        """A new module of this form, batch-first."""
        options: dict[str, Any] = {"nonlinearity": self.nonlinearity} if self.kind == "RNN" else {}
        if self.proj_size:
            options["proj_size"] = self.proj_size
        module: nn.RNNBase = _MODULES[self.kind](
            self.input_size,
            self.hidden_size,
            num_layers=self.num_layers,
            bidirectional=self.bidirectional,
            bias=self.bias,
            dropout=self.dropout,
            batch_first=True,
            **options,
        )
        return module

    def spec(self) -> dict[str, Any]:
        """The spec of the same layer in seqlab."""
        cell: dict[str, Any] = {"name": self.kind.lower(), "hidden_size": self.hidden_size}
        if not self.bias:
            cell["use_bias"] = False
        if self.proj_size:
            cell["proj_size"] = self.proj_size
        if self.kind == "RNN" and self.nonlinearity != "tanh":
            cell["activation"] = self.nonlinearity
        levels: list[dict[str, Any]] = []
        width = self.input_size
        for _ in range(self.num_layers):
            one = {"type": "recurrent", "input_size": width, "cell": cell}
            both = {"type": "bidirectional", "forward": one, "backward": {**one, "reverse": True}}
            levels.append(both if self.bidirectional else one)
            width = (self.proj_size or self.hidden_size) * (2 if self.bidirectional else 1)
        if len(levels) == 1:
            return levels[0]
        return {"type": "stacked", "layers": levels, "dropout": self.dropout}


_Nonlinearity = Literal["tanh", "relu"]


def form_of(source: nn.RNNBase | Mapping[str, Tensor], nonlinearity: str = "tanh") -> TorchForm:
    """The form of a module, or of a state dict by its names and shapes.

    Args:
        source: the module or its state dict, without a prefix.
        nonlinearity: ``tanh`` or ``relu``: what a state dict of ``nn.RNN`` does not say.

    Raises:
        ShapeError: the state dict is not that of a recurrent module.
    """
    if isinstance(source, nn.RNNBase):
        kind = type(source).__name__
        if kind not in _MODULES:
            raise OptionError(f"expected torch.nn.RNN, LSTM or GRU, got {kind}")
        return TorchForm(
            kind,
            source.input_size,
            source.hidden_size,
            source.num_layers,
            source.bidirectional,
            source.bias,
            source.proj_size,
            getattr(source, "nonlinearity", "tanh"),
            float(source.dropout),
        )
    return _form_of_state(source, check_value(nonlinearity, _Nonlinearity, "nonlinearity"))


def _form_of_state(state: Mapping[str, Tensor], nonlinearity: str) -> TorchForm:
    matches = [TORCH_NAME.fullmatch(name) for name in state]
    strange = [name for name, match in zip(state, matches, strict=True) if match is None]
    if strange or "weight_ih_l0" not in state or "weight_hh_l0" not in state:
        named = f"{strange[0]:.80}" if strange else "weight_ih_l0 or weight_hh_l0 is missing"
        raise ShapeError(f"not the state dict of a recurrent torch module: {named}")
    for name, value in state.items():
        _check_plain(name, value)
    first, second = state["weight_ih_l0"], state["weight_hh_l0"]
    projected = state.get("weight_hr_l0")
    hidden = second.shape[1] if projected is None else projected.shape[1]
    gates = {count: kind for kind, count in _GATES.items()}
    kind = gates.get(first.shape[0] // hidden if hidden else 0)
    if kind is None or first.shape[0] % hidden:
        raise ShapeError(
            f"weight_ih_l0 {tuple(first.shape)} has not 1, 3 or 4 gates of the width {hidden}"
        )
    levels = 1 + max(int(match[2]) for match in matches if match)
    if levels > len(state):
        raise ShapeError(f"layer l{levels - 1} is named, and {len(state)} tensors are there")
    form = TorchForm(
        kind,
        first.shape[1],
        hidden,
        levels,
        any(match[3] for match in matches if match),
        "bias_ih_l0" in state,
        0 if projected is None else projected.shape[0],
        nonlinearity,
    )
    check_shapes(form, state)
    return form


def _check_plain(name: str, value: Tensor) -> None:
    """Refuse a tensor that is no array of real numbers of its own, before anything is made of it.

    Raises:
        ShapeError: its type, layout or shape is another.
    """
    dense = value.layout == torch.strided and value.device.type != "meta"
    if not dense or value.dtype not in _DTYPES:
        kind = str(value.dtype) if dense else f"a {value.layout} tensor on {value.device}"
        known = ", ".join(str(dtype) for dtype in _DTYPES)
        raise ShapeError(f"{name}: expected an array of {known}, got {kind}")
    rank = 1 if name.startswith("bias") else 2
    if value.dim() != rank or not value.numel():
        raise ShapeError(
            f"{name}: expected {rank} dimensions of at least 1, got {spell_shape(value)}"
        )
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise ShapeError(f"{name}: {spell_shape(value)} is larger than what is stored of it")


def spell_shape(value: Tensor) -> str:
    """A tensor's shape, for messages."""
    return str(tuple(value.shape))


def check_shapes(form: TorchForm, state: Mapping[str, Tensor]) -> None:
    """Hold a state dict against the names and shapes of a form.

    Raises:
        ShapeError: a name or a shape is another.
    """
    with torch.device("meta"):
        expected = form.module().state_dict()
    if set(expected) != set(state):
        wrong = ", ".join(sorted(set(expected) ^ set(state)))
        raise ShapeError(f"the state dict does not fit {form}: {wrong}")
    for name, wanted in expected.items():
        if wanted.shape != state[name].shape:
            raise ShapeError(
                f"{name} must be {tuple(wanted.shape)}, got {tuple(state[name].shape)}"
            )
