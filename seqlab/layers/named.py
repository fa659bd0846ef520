"""Recurrent layers of the built-in cells that have a layer of their own name."""

from __future__ import annotations

from typing import Any

from torch import nn

from seqlab import registry
from seqlab.construct import check_options
from seqlab.errors import OptionError
from seqlab.layers.base import Layer, torch_forms
from seqlab.layers.recurrent import InitialState, MaskedOutput, Recurrent


class _Named(Recurrent):
    """A recurrent layer of one built-in cell, with the cell's options beside the layer's."""

    cell_name: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        engine: str = "auto",
        reverse: bool = False,
        masked_output: MaskedOutput = "zeros",
        initial_state: InitialState = "zeros",
        **cell_options: Any,
    ) -> None:
        check_options("cell", self.cell_name, cell_options, given=2, where=type(self).__name__)
        cell = registry.get("cell", self.cell_name)(input_size, hidden_size, **cell_options)
        super().__init__(
            cell,
            engine=engine,
            reverse=reverse,
            masked_output=masked_output,
            initial_state=initial_state,
        )

    @classmethod
    def from_torch(cls, module: nn.RNNBase, **options: Any) -> Layer:
        """The layer with the form and weights of a module of ``torch.nn``.

        Args:
            module: of the same kind; several layers become ``Stacked``, two directions
                ``Bidirectional``.
            **options: of the layer, such as ``engine``, where the module has one layer of one
                direction.

        Raises:
            OptionError: the module is of another kind.

        Example:
            >>> layer = LSTM.from_torch(nn.LSTM(3, 4, batch_first=True))
            >>> layer.output_size, layer.to_torch()
            (4, LSTM(3, 4, batch_first=True))
        """
        forms = torch_forms()
        form = forms.form_of(module)
        if form.kind != cls.__name__:
            raise OptionError(f"expected torch.nn.{cls.__name__}, got torch.nn.{form.kind}")
        if form.num_layers > 1 or form.bidirectional:
            if options:
                raise OptionError(f"{next(iter(options))}: the module has several layers in one")
            stacked: Layer = forms.from_torch(module)
            return stacked
        cell = {k: v for k, v in form.spec()["cell"].items() if k not in ("name", "hidden_size")}
        like = next(module.parameters())
        layer = cls(form.input_size, form.hidden_size, **cell, **options)
        layer.to(device=like.device, dtype=like.dtype).load_state_dict(module.state_dict())
        return layer


class RNN(_Named):
    """``Recurrent`` over ``RNNCell(input_size, hidden_size, **cell_options)``."""

    cell_name = "rnn"


class LSTM(_Named):
    """``Recurrent`` over ``LSTMCell(input_size, hidden_size, **cell_options)``."""

    cell_name = "lstm"


class GRU(_Named):
    """``Recurrent`` over ``GRUCell(input_size, hidden_size, **cell_options)``."""

    cell_name = "gru"
