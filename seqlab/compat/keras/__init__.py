"""Keras's recurrent layers, by Keras's names, signatures and conventions, over seqlab's layers.

The signatures are Keras 3's with what only Keras 2 has (``implementation``, ``time_major``) as
keywords. Keras itself is not needed.

>>> import torch
>>> from seqlab.compat.keras import LSTM, Bidirectional
>>> layer = Bidirectional(LSTM(4, return_sequences=True, return_state=True), merge_mode="sum")
>>> output, fh, fc, bh, bc = layer(torch.zeros(2, 5, 3))
>>> output.shape, bc.shape
(torch.Size([2, 5, 4]), torch.Size([2, 4]))
>>> [w.shape for w in layer.get_weights()][:3]
[(3, 16), (4, 16), (16,)]
"""

from __future__ import annotations

from seqlab.compat.keras.bidirectional import Bidirectional
from seqlab.compat.keras.cells import StackedRNNCells
from seqlab.compat.keras.keras_cells import GRUCell, LSTMCell, SimpleRNNCell
from seqlab.compat.keras.recurrent import GRU, LSTM, SimpleRNN
from seqlab.compat.keras.rnn import RNN
from seqlab.compat.keras.time_distributed import TimeDistributed

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Bidirectional",
    "GRUCell",
    "LSTMCell",
    "SimpleRNN",
    "SimpleRNNCell",
    "StackedRNNCells",
    "TimeDistributed",
]
