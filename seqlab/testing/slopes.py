"""Gradients held against finite differences."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqlab.cells.base import map_state
from seqlab.heads.states import leaves
from seqlab.layers.base import Layer
from seqlab.testing.compare import require
from seqlab.testing.sample import parts_of, run_with_gradients, weighted_sum

#: The largest difference of a slope from finite differences, relative to slopes above 1.
EXACT = 1e-6


def require_exact_gradients(
    layer: Layer,
    x: Tensor,
    state: Any,
    mask: Tensor | None = None,
    *,
    where: str = "",
    step: float = 1e-5,
) -> float:
    """Fail unless every gradient has the slope that differences along one direction give.

    Args:
        layer: in float64.
        x: ``[B, T, D]``.
        state: the initial state.
        mask: ``[B, T]``, or None.
        where: said in the message.
        step: of the differences; smaller where the curvature is large.

    Returns:
        The largest difference, relative to slopes above 1.
    """
    ran = run_with_gradients(layer, x, state, mask)
    gradients = {name: gradient for name, gradient in ran.gradients.items() if gradient is not None}
    directions = {name: torch.randn_like(gradient) for name, gradient in gradients.items()}
    largest = 0.0
    for name, gradient in gradients.items():
        slope = float((gradient * directions[name]).sum().detach())
        # what curvature and kinks leave shrinks with the step, and what a wrong formula does not
        for length in (step, step / 10):
            inputs = _Inputs(x, state, mask, length)
            measured = _measured_slope(layer, inputs, name, directions[name])
            difference = abs(slope - measured) / max(1.0, abs(measured))
            if difference < EXACT:
                break
        require(
            difference < EXACT,
            f"gradient of {name}{where}: along a random direction backward gives {slope:.6g}, "
            f"finite differences give {measured:.6g}",
            backward=slope,
            measured=measured,
        )
        largest = max(largest, difference)
    return largest


class _Inputs(NamedTuple):
    x: Tensor
    state: Any
    mask: Tensor | None
    step: float


def _measured_slope(layer: Layer, inputs: _Inputs, name: str, direction: Tensor) -> float:
    """The slope of the weighted sum along a direction of one tensor, by central differences."""
    x, state, mask, step = inputs
    values = []
    parameters = dict(layer.named_parameters())
    for sign in (step, -step):
        moved_x, moved_state = x, state
        if name == "input":
            moved_x = x + sign * direction
        elif name.startswith("state["):
            moved_state = _moved(state, int(name[6:-1]), sign * direction)
        with torch.no_grad():
            if name in parameters:
                parameters[name].add_(sign * direction)
            output, final = layer(moved_x, moved_state, mask=mask)
            if name in parameters:
                parameters[name].sub_(sign * direction)
            values.append(float(weighted_sum([*parts_of(output), *leaves(final)])))
    return (values[0] - values[1]) / (2 * step)


def _moved(state: Any, index: int, change: Tensor) -> Any:
    counter = iter(range(1_000_000))
    return map_state(lambda part: part + change if next(counter) == index else part, state)
