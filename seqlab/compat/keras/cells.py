"""What ``RNN`` can run: a cell of any kind, or several on top of each other.

A cell of the facade is no module; the layer that runs it owns its weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from seqlab.cells.base import Cell
from seqlab.compat.keras.configs import cell_of, known_cell, nested_config
from seqlab.construct import construct
from seqlab.errors import OptionError, ShapeError
from seqlab.layers.base import Layer
from seqlab.layers.recurrent import MaskedOutput, Recurrent
from seqlab.wrappers.stacked import Stacked


class CellLike(ABC):
    """What ``RNN`` needs of a cell: sizes, and a seqlab layer for an input width."""

    seed: int | None = None

    @property
    @abstractmethod
    def output_size(self) -> int:
        """The width of one step's output."""

    @property
    @abstractmethod
    def state_size(self) -> Any:
        """An int, or a list with one entry a state tensor, as Keras has it."""

    @abstractmethod
    def make_layer(self, input_size: int, *, reverse: bool, masked_output: MaskedOutput) -> Layer:
        """A seqlab layer that runs this cell; twice the same width, twice the same weights."""

    @abstractmethod
    def forget_weights(self) -> None:
        """Be a cell without weights again."""

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """The arguments as plain values."""


class RegisteredCell(CellLike):
    """Any cell of seqlab's registry in Keras's ``RNN``: a spec, or a cell that exists already."""

    def __init__(self, cell: Cell | Mapping[str, Any]) -> None:
        self.core = cell if isinstance(cell, Cell) else None
        self.spec = None if isinstance(cell, Cell) else dict(cell)
        self._sizes = self.core or self._probe()

    def _make(self, input_size: int) -> Cell:
        cell: Cell = construct("cell", self.spec, input_size, where="cell")
        return cell

    def _probe(self) -> Cell:
        with torch.random.fork_rng(devices=[]):
            return self._make(1)

    @property
    def output_size(self) -> int:
        """The cell's."""
        return self._sizes.output_size

    @property
    def state_size(self) -> Any:
        """The widths of the cell's state fields."""
        sizes = list(self._sizes.state_sizes)
        return sizes[0] if len(sizes) == 1 else sizes

    def make_layer(self, input_size: int, *, reverse: bool, masked_output: MaskedOutput) -> Layer:
        """``Recurrent`` over the cell."""
        self.core = self._make(input_size) if self.core is None else self.core
        if self.core.input_size != input_size:
            raise ShapeError(
                f"RNN: the cell takes {self.core.input_size} features, the input has {input_size}"
            )
        return Recurrent(self.core, reverse=reverse, masked_output=masked_output)

    def forget_weights(self) -> None:
        """Draw the weights anew, or drop them where a spec can make them again."""
        if self.spec is None and self.core is not None:
            self.core.reset_parameters()
        else:
            self.core = None

    def get_config(self) -> dict[str, Any]:
        """The spec.

        Raises:
            OptionError: the cell was given as an object.
        """
        if self.spec is None:
            raise OptionError(
                f"get_config: {type(self.core).__name__} was given as an object; give a spec, "
                "such as RNN({'name': 'mgu', 'hidden_size': 8})"
            )
        return self.spec


@known_cell
class StackedRNNCells(CellLike):
    """``keras.layers.StackedRNNCells``: each cell's output is the next one's input.

    Args:
        cells: the cells, from the input to the output; seqlab's cells and specs count too.
    """

    def __init__(self, cells: Sequence[Any], **kwargs: Any) -> None:
        if not isinstance(cells, list | tuple) or not cells:
            raise OptionError(f"StackedRNNCells needs a list of cells, got {cells!r:.80}")
        unknown = set(kwargs) - {"name", "dtype", "trainable"}
        if unknown:
            raise OptionError(f"StackedRNNCells has no argument '{min(unknown)}'")
        self.name = kwargs.get("name") or "stacked_rnn_cells"
        self.cells = [cell_like(cell) for cell in cells]
        self.seed = next((cell.seed for cell in self.cells if cell.seed is not None), None)

    @property
    def output_size(self) -> int:
        """The last cell's."""
        return self.cells[-1].output_size

    @property
    def state_size(self) -> Any:
        """A list of the cells' state sizes."""
        return [cell.state_size for cell in self.cells]

    def make_layer(self, input_size: int, *, reverse: bool, masked_output: MaskedOutput) -> Layer:
        """``Stacked`` over the cells' layers, all in one direction of time."""
        layers: list[Layer] = []
        for cell in self.cells:
            width = layers[-1].output_size if layers else input_size
            layers.append(cell.make_layer(width, reverse=reverse, masked_output=masked_output))
        return Stacked(layers)

    def forget_weights(self) -> None:
        """For each cell."""
        for cell in self.cells:
            cell.forget_weights()

    def get_config(self) -> dict[str, Any]:
        """The cells' configs."""
        return {"name": self.name, "cells": [cell_config(cell) for cell in self.cells]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The stack of a config."""
        return cls(**{**config, "cells": [cell_of(part) for part in config["cells"]]})


def cell_like(cell: Any) -> CellLike:
    """What a user gave as a cell.

    Raises:
        OptionError: it is none.
    """
    if isinstance(cell, CellLike):
        return cell
    if isinstance(cell, list | tuple):
        return StackedRNNCells(cell)
    if isinstance(cell, Cell | Mapping):
        return RegisteredCell(cell)
    raise OptionError(
        "RNN: cell must be a cell, a list of cells, or a mapping with the name of a registered "
        f"cell, got {cell!r:.80}"
    )


def cell_config(cell: CellLike) -> dict[str, Any]:
    """A cell's class name and config, as Keras nests them."""
    if isinstance(cell, RegisteredCell):
        return {"class_name": "seqlab", "config": cell.get_config()}
    return nested_config(cell)


def state_tensors(state: Any) -> list[Tensor]:
    """The tensors of a layer's state, in order, however they are nested."""
    if isinstance(state, Tensor):
        return [state]
    return [tensor for part in state for tensor in state_tensors(part)]
