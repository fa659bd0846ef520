"""The states at all times of a run, in one memory."""

from __future__ import annotations

from torch import Tensor


def states_before(history: Tensor, *, reverse: bool) -> Tensor:
    """The states before each step, ``[T, B, H]``, of ``[T + 1, B, H]``."""
    return history[1:] if reverse else history[:-1]


def states_after(history: Tensor, *, reverse: bool) -> Tensor:
    """The states after each step: the history's own memory, but no view to autograd."""
    part = history[:-1] if reverse else history[1:]
    return history.new_empty(0).set_(
        part.untyped_storage(), part.storage_offset(), part.shape, part.stride()
    )
