"""The states at all times of a run, in one memory."""

from __future__ import annotations

from torch import Tensor


def states_before(history: Tensor, *, reverse: bool) -> Tensor:
    """The states before each step, ``[T, B, H]``, of ``[T + 1, B, H]``."""
    return history[1:] if reverse else history[:-1]


def states_after(history: Tensor, *, reverse: bool) -> Tensor:
    """The states after each step: the history's own memory, but no view to autograd."""
    steps, batch, width = history.shape
    first = history.storage_offset() + (0 if reverse else history.stride(0))
    shape = (steps - 1, batch, width)
    return history.new_empty(0).set_(history.untyped_storage(), first, shape, history.stride())
