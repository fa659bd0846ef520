"""Recurrent states are nested tuples of ``[B, ...]`` tensors; these functions pick their rows."""

from __future__ import annotations

from torch import Tensor

from seqlab.cells.base import map_state
from seqlab.types import State


def leaves(state: State) -> list[Tensor]:
    """All tensors of a state, in the order in which ``map_state`` visits them.

    >>> import torch
    >>> [tuple(leaf.shape) for leaf in leaves((torch.zeros(2, 3), (torch.zeros(2),)))]
    [(2, 3), (2,)]
    """
    found: list[Tensor] = []

    def collect(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_state(collect, state)
    return found


def select_rows(state: State, index_N: Tensor) -> State:
    """The state of the rows ``index_N`` (int64), in that order; rows may repeat."""
    return map_state(lambda tensor: tensor.index_select(0, index_N), state)


def repeat_rows(state: State, times: int) -> State:
    """Each row ``times`` times, copies side by side: ``[B, ...]`` to ``[B * times, ...]``."""
    return map_state(lambda tensor: tensor.repeat_interleave(times, dim=0), state)
