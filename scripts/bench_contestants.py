"""The layers that are timed beside each other: seqlab's, torch's and those of others."""

from __future__ import annotations

import os
from typing import Any

import seqlab
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

SIZES = ((32, 50, 128, 128), (64, 200, 64, 64), (8, 512, 128, 256), (32, 100, 256, 256),
         (128, 100, 256, 512))  # fmt: skip


class HandWritten(nn.Module):
    """What people write: a Python loop over ``nn.LSTMCell`` or ``nn.GRUCell``."""

    def __init__(self, kind: str, features: int, hidden: int) -> None:
        super().__init__()
        self.kind, self.hidden = kind, hidden
        self.cell = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}[kind](features, hidden)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """All steps, outputs stacked."""
        state: Any = x_BTD.new_zeros(len(x_BTD), self.hidden)
        state = (state, state) if self.kind == "lstm" else state
        outputs = []
        for x_BD in x_BTD.unbind(1):
            state = self.cell(x_BD, state)
            outputs.append(state[0] if self.kind == "lstm" else state)
        return torch.stack(outputs, 1)


class Packed(nn.Module):
    """A layer of torch's over padded rows: packed, run, padded again."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x_BTD: Tensor, lengths: Tensor) -> Tensor:
        """Outputs with zeros in the padding."""
        given = pack_padded_sequence(x_BTD, lengths, batch_first=True, enforce_sorted=False)
        output: Tensor = pad_packed_sequence(self.layer(given)[0], batch_first=True)[0]
        return output


def ours(cell: str, features: int, hidden: int, engine: str, **options: Any) -> seqlab.Layer:
    """A layer of a registered cell."""
    return seqlab.Recurrent(seqlab.get("cell", cell)(features, hidden, **options), engine=engine)


def theirs(kind: str, features: int, hidden: int, **options: Any) -> nn.Module:
    """A module of torch's."""
    made: nn.Module = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[kind](
        features, hidden, batch_first=True, **options
    )
    return made


def keras_layer(kind: str, features: int, hidden: int) -> nn.Module:
    """The same layer of Keras, on its torch backend."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    classes = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}
    made: nn.Module = classes[kind](hidden, return_sequences=True)
    made(torch.zeros(1, 2, features))
    return made


def torchrecurrent_layer(kind: str, features: int, hidden: int) -> nn.Module:
    """The same cell's layer of torchrecurrent."""
    import torchrecurrent

    made: nn.Module = {"lstm": torchrecurrent.OriginalLSTM, "mgu": torchrecurrent.MGU}[kind](
        features, hidden, batch_first=True
    )
    return made


def deep(kind: str, features: int, hidden: int, engine: str) -> seqlab.Layer:
    """Two bidirectional layers on top of each other."""
    layers = [
        seqlab.Bidirectional(ours(kind, width, hidden, engine)) for width in (features, 2 * hidden)
    ]
    return seqlab.Stacked(layers)
