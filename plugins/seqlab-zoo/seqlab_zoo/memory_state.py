"""The state of a cell with an output and a memory, as the LSTM has it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class MemoryState(NamedTuple):
    """``hidden``, the output, and ``cell``, the memory, each ``[B, H]``."""

    hidden: Tensor
    cell: Tensor
