"""Keras's ``SimpleRNN``, ``LSTM`` and ``GRU`` with their published signatures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import Self

from seqlab.compat.keras.keras_cells import GRUCell, LSTMCell, SimpleRNNCell
from seqlab.compat.keras.rnn import RNN
from seqlab.errors import OptionError

# ruff: noqa: PLR0917  # the signatures are Keras's


class _OneCell(RNN):
    """A layer whose config holds its cell's arguments beside its own."""

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


def _check_cudnn(use_cudnn: Any) -> None:
    if use_cudnn not in ("auto", True, False):
        raise OptionError(f"use_cudnn must be 'auto', True or False, got {use_cudnn!r}")


class SimpleRNN(_OneCell):
    """``keras.layers.SimpleRNN``: the simple recurrent net of Elman (1990).

    The arguments are Keras's; see ``RNN`` for the flags and ``seqlab.GatedCell`` for the options.
    ``implementation`` and ``time_major`` are Keras 2's.

    Example:
        >>> import torch
        >>> SimpleRNN(4, return_sequences=True)(torch.zeros(2, 5, 3)).shape
        torch.Size([2, 5, 4])
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        *,
        implementation: int = 2,
        time_major: bool = False,
        **kwargs: Any,
    ) -> None:
        cell = SimpleRNNCell(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            seed,
            implementation=implementation,
        )
        super().__init__(
            cell,
            return_sequences,
            return_state,
            go_backwards,
            stateful,
            unroll,
            time_major=time_major,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )


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

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        use_cudnn: str | bool = "auto",
        *,
        implementation: int = 2,
        time_major: bool = False,
        **kwargs: Any,
    ) -> None:
        _check_cudnn(use_cudnn)
        cell = LSTMCell(
            units,
            activation,
            recurrent_activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            unit_forget_bias,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            seed,
            implementation=implementation,
        )
        super().__init__(
            cell,
            return_sequences,
            return_state,
            go_backwards,
            stateful,
            unroll,
            time_major=time_major,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )


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

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: str | bool = "auto",
        *,
        implementation: int = 2,
        time_major: bool = False,
        **kwargs: Any,
    ) -> None:
        _check_cudnn(use_cudnn)
        cell = GRUCell(
            units,
            activation,
            recurrent_activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            reset_after,
            seed,
            implementation=implementation,
        )
        super().__init__(
            cell,
            return_sequences,
            return_state,
            go_backwards,
            stateful,
            unroll,
            time_major=time_major,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
