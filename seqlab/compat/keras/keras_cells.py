"""Keras's three cells: the arguments of one time step, from which a seqlab cell is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

import torch

from seqlab import registry
from seqlab.cells.base import Cell, state_fields
from seqlab.compat.keras.cells import CellLike
from seqlab.compat.keras.configs import known_cell
from seqlab.compat.keras.names import snake_case, to_keras, to_seqlab
from seqlab.compat.keras.signatures import signed
from seqlab.errors import OptionError, ShapeError
from seqlab.layers.base import Layer
from seqlab.layers.recurrent import MaskedOutput, Recurrent
from seqlab.schema import Count, Fraction, check_value

KINDS = {
    "activation": "activation",
    "recurrent_activation": "activation",
    "kernel_initializer": "initializer",
    "recurrent_initializer": "initializer",
    "bias_initializer": "initializer",
    "kernel_regularizer": "regularizer",
    "recurrent_regularizer": "regularizer",
    "bias_regularizer": "regularizer",
    "kernel_constraint": "constraint",
    "recurrent_constraint": "constraint",
    "bias_constraint": "constraint",
}


_TYPES = {
    **dict.fromkeys(("use_bias", "unit_forget_bias", "reset_after"), bool),
    **dict.fromkeys(("dropout", "recurrent_dropout"), Fraction),
}


class KerasCell(CellLike):
    """One of Keras's three cells: arguments, and the seqlab cell once it is built."""

    seqlab_name: str

    if TYPE_CHECKING:  # the constructors are made of a table

        def __init__(self, units: int, *args: Any, **kwargs: Any) -> None: ...

    def start(self, given: dict[str, Any], keywords: dict[str, Any]) -> None:
        """Take the arguments, by name.

        Raises:
            OptionError: one is unknown or has a wrong value.
        """
        for key in keywords:
            if key not in {"implementation", "name", "dtype", "trainable"}:
                raise OptionError(f"{type(self).__name__} has no argument '{key}'")
        implementation = keywords.get("implementation", 2)
        self.implementation: int = check_value(implementation, Literal[1, 2], "implementation")
        self.name = keywords.get("name") or snake_case(type(self).__name__)
        self.units: int = check_value(given.pop("units"), Count, "units")
        self.seed = check_value(given.pop("seed"), int | None, "seed")
        self.options = {
            key: check_value(value, _TYPES.get(key, Any), key) for key, value in given.items()
        }
        self.core: Cell | None = None
        with torch.random.fork_rng(devices=[]):
            self._make(1, 1)  # refuses wrong options now, not at the first call

    def _make(self, input_size: int, units: int) -> Cell:
        options = {
            key: to_seqlab(KINDS[key], key, value) if key in KINDS else value
            for key, value in self.options.items()
        }
        # Keras draws a mask for each gate with implementation 1, and takes 1 for this dropout
        untied = self.implementation == 1 or self.options["recurrent_dropout"] > 0
        cell: Cell = registry.get("cell", self.seqlab_name)(
            input_size, units, untied_dropout=untied, **options
        )
        return cell

    def __getattr__(self, name: str) -> Any:
        """The arguments are attributes, as in Keras."""
        options = self.__dict__.get("options", {})
        if name in options:
            return options[name]
        raise AttributeError(f"{type(self).__name__} has no attribute '{name}'")

    @property
    def output_size(self) -> int:
        """``units``."""
        return self.units

    @property
    def state_size(self) -> Any:
        """``units``, or a list of as many as there are state tensors."""
        fields = len(state_fields(registry.get("cell", self.seqlab_name).State))
        return self.units if fields == 1 else [self.units] * fields

    def build(self, input_size: int) -> Cell:
        """The seqlab cell with weights for inputs of this width.

        Raises:
            ShapeError: it has weights for another width.
        """
        if self.core is None:
            self.core = self._make(input_size, self.units)
        if self.core.input_size != input_size:
            raise ShapeError(
                f"{type(self).__name__}: the cell's weights take {self.core.input_size} "
                f"features, the input has {input_size}"
            )
        return self.core

    def make_layer(self, input_size: int, *, reverse: bool, masked_output: MaskedOutput) -> Layer:
        """``Recurrent`` over the seqlab cell."""
        return Recurrent(self.build(input_size), reverse=reverse, masked_output=masked_output)

    def forget_weights(self) -> None:
        """Drop the seqlab cell."""
        self.core = None

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras writes them."""
        config: dict[str, Any] = {"name": self.name, "units": self.units}
        for key, value in self.options.items():
            config[key] = to_keras(KINDS[key], key, value) if key in KINDS else value
        config["seed"] = self.seed
        if self.implementation != 2:
            config["implementation"] = self.implementation
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The cell of a config; names only, never import paths."""
        return cls(**config)


@known_cell
@signed("SimpleRNNCell")
class SimpleRNNCell(KerasCell):
    """``keras.layers.SimpleRNNCell``: see ``SimpleRNN``."""

    seqlab_name = "rnn"


@known_cell
@signed("LSTMCell")
class LSTMCell(KerasCell):
    """``keras.layers.LSTMCell``: see ``LSTM``."""

    seqlab_name = "lstm"


@known_cell
@signed("GRUCell")
class GRUCell(KerasCell):
    """``keras.layers.GRUCell``: see ``GRU``."""

    seqlab_name = "gru"
