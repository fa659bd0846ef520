"""What loops over time need: steps in order, one of a projected sequence, masked choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqlab.cells.base import map_state
from seqlab.types import State


def run_steps(
    step: Callable[[int, State], tuple[Tensor, State]],
    count: int,
    state: State,
    mask: Tensor | None,
    *,
    reverse: bool,
) -> tuple[list[Tensor], State]:
    """All steps, one after the other; a masked one leaves the state as it was and gives zeros.

    Args:
        step: the number of a step and the state before it, to its output ``[B, E]`` and the next.
        count: T.
        state: the state before the first step.
        mask: ``[B, T]`` bool, True = real, or None.
        reverse: from the last step to the first.

    Returns:
        The outputs in the order of time, and the final state.
    """
    outputs: list[Tensor] = []
    for t in reversed(range(count)) if reverse else range(count):
        output, new = step(t, state)
        if mask is not None:
            real = mask[:, t]
            new = map_state(lambda n, o, real=real: select(real, n, o), new, state)
            output = select(real, output, torch.zeros_like(output))
        state = new
        outputs.append(output)
    return outputs[::-1] if reverse else outputs, state


def at_time(projected: Any, t: int) -> Any:
    """Step ``t`` of what ``project`` returned: a tensor ``[B, T, ...]`` or a tuple of them."""
    if isinstance(projected, Tensor):
        return projected[:, t]
    parts = [at_time(part, t) for part in projected]
    return type(projected)(*parts) if hasattr(projected, "_fields") else tuple(parts)


def each_time(projected: Any) -> list[Any]:
    """All steps of what ``project`` returned; its gradient is one operation, not one a step."""
    if isinstance(projected, Tensor):
        return list(projected.unbind(1))
    parts = zip(*(each_time(part) for part in projected), strict=True)
    if hasattr(projected, "_fields"):
        return [type(projected)(*part) for part in parts]
    return list(parts)


def select(real_B: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Rows of ``new`` where real, else of ``old``."""
    return torch.where(real_B.view(-1, *[1] * (new.dim() - 1)), new, old)
