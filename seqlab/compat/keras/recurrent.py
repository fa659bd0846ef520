"""Keras's ``SimpleRNN``, ``LSTM`` and ``GRU`` with their published signatures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from seqlab.compat.keras.configs import known_layer
from seqlab.compat.keras.keras_cells import GRUCell, KerasCell, LSTMCell, SimpleRNNCell
from seqlab.compat.keras.rnn import RNN
from seqlab.compat.keras.signatures import names_of, signed
from seqlab.schema import check_value


class _OneCell(RNN):
    """A layer whose arguments hold its cell's beside its own."""

    cell_class: type[KerasCell]

    if TYPE_CHECKING:  # the constructors are made of a table

        def __init__(self, units: int, *args: Any, **kwargs: Any) -> None: ...

    def start(self, given: dict[str, Any], keywords: dict[str, Any]) -> None:
        """Take the arguments, by name: the cell's, and those of ``RNN``.

        Raises:
            OptionError: one is unknown or has a wrong value.
        """
        check_value(given.pop("use_cudnn", "auto"), Literal["auto", True, False], "use_cudnn")
        own = {key: given.pop(key) for key in names_of(self.cell_class.__name__)}
        cell = self.cell_class(**own, implementation=given.pop("implementation"))
        RNN.__init__(self, cell, **given, **keywords)

    def _cell_config(self) -> dict[str, Any]:
        config = self.cell.get_config()
        del config["name"]
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The layer of a config, this facade's or Keras's; names only, never import paths."""
        return cls(**config)

    def __getattr__(self, name: str) -> Any:
        """The cell's arguments are the layer's attributes, as in Keras."""
        cell = self.__dict__.get("cell")
        if cell is not None and (name in cell.options or name in {"units", "implementation"}):
            return getattr(cell, name)
        return super().__getattr__(name)


@known_layer
@signed("SimpleRNN")
class SimpleRNN(_OneCell):
    """``keras.layers.SimpleRNN``: the simple recurrent net of Elman (1990).

    The arguments are Keras's; see ``RNN`` for the flags and ``seqlab.GatedCell`` for the options.
    ``implementation`` and ``time_major`` are Keras 2's.

    Example:
        >>> import torch
        >>> SimpleRNN(4, return_sequences=True)(torch.zeros(2, 5, 3)).shape
        torch.Size([2, 5, 4])
    """

    cell_class = SimpleRNNCell


@known_layer
@signed("LSTM")
class LSTM(_OneCell):
    """``keras.layers.LSTM``: the long short-term memory; ``seqlab.LSTM`` has its equations.

    The arguments are Keras's; see ``RNN`` for the flags and ``seqlab.GatedCell`` for the options.
    ``implementation`` (1 draws dropout masks for each gate) and ``time_major`` are Keras 2's;
    ``use_cudnn`` changes no numbers: the engine is chosen by seqlab.

    Example:
        >>> import torch
        >>> output, hidden, memory = LSTM(4, return_state=True)(torch.zeros(2, 5, 3))
        >>> output.shape, memory.shape
        (torch.Size([2, 4]), torch.Size([2, 4]))
    """

    cell_class = LSTMCell


@known_layer
@signed("GRU")
class GRU(_OneCell):
    """``keras.layers.GRU``: the gated recurrent unit; ``seqlab.GRU`` has its equations.

    The arguments are Keras's; see ``RNN`` for the flags and ``seqlab.GatedCell`` for the options.
    ``implementation`` (1 draws dropout masks for each gate) and ``time_major`` are Keras 2's;
    ``use_cudnn`` changes no numbers: the engine is chosen by seqlab.

    Example:
        >>> import torch
        >>> GRU(4, reset_after=False)(torch.zeros(2, 5, 3)).shape
        torch.Size([2, 4])
    """

    cell_class = GRUCell
