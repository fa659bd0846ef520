"""Recurrent states are nested tuples of ``[B, ...]`` tensors; these functions pick their rows."""

from __future__ import annotations

from torch import Tensor

from seqlab.cells.base import leaves, map_state
from seqlab.types import State

__all__ = ["leaves", "repeat_rows", "select_rows"]


def select_rows(state: State, index_N: Tensor) -> State:
    """The state of the rows ``index_N`` (int64), in that order; rows may repeat."""
    return map_state(lambda tensor: tensor.index_select(0, index_N), state)


def repeat_rows(state: State, times: int) -> State:
    """Each row ``times`` times, copies side by side: ``[B, ...]`` to ``[B * times, ...]``."""
    return map_state(lambda tensor: tensor.repeat_interleave(times, dim=0), state)
