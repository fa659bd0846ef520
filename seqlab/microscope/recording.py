"""Every step of every cell of a module: the state before and after it, its output, its gates."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqlab.cells.base import Cell, map_state, next_state
from seqlab.cells.linear import LinearRecurrentCell
from seqlab.layers.recurrent import Recurrent
from seqlab.microscope.gate_watch import watched_gates
from seqlab.types import State


class Step(NamedTuple):
    """One call of ``Cell.step``; tensors keep their place in the graph of gradients.

    ``gates`` are the values of the gates, ``[B, H]`` each, as far as ``update`` shows them.
    """

    projected: Any
    before: State
    output: Tensor
    after: State
    gates: dict[str, Tensor]


class CellTrace:
    """The steps of one cell, in the order of running.

    Attributes:
        name: the path of its layer inside the module.
        cell: the cell.
        reverse: whether the last call was for the first time step.
        steps: one entry a call.
    """

    def __init__(self, name: str, layer: Recurrent) -> None:
        self.name, self.cell, self.reverse = name, layer.cell, layer.reverse
        self.steps: list[Step] = []
        self.decay: Tensor | None = None

    def in_time(self, values: list[Any]) -> list[Any]:
        """What belongs to the steps, in the order of time."""
        return values[::-1] if self.reverse else values

    def outputs(self) -> Tensor:
        """``[B, T, E]`` in the order of time."""
        return torch.stack(self.in_time([step.output.detach() for step in self.steps]), 1)

    def states(self) -> Tensor:
        """The whole states after each step, ``[B, T, S]`` in the order of time."""
        return torch.stack(self.in_time([flat(step.after).detach() for step in self.steps]), 1)

    def gates(self) -> dict[str, Tensor]:
        """The values of each gate, ``[B, T, H]`` in the order of time.

        A cell that is linear in its state has one, ``decay``: the size of what its state is
        multiplied by.
        """
        if self.decay is not None:
            return {"decay": self.decay}
        names = self.steps[0].gates if self.steps else {}
        return {
            name: torch.stack(self.in_time([step.gates[name].detach() for step in self.steps]), 1)
            for name in names
            if all(name in step.gates for step in self.steps)
        }


def flat(state: State) -> Tensor:
    """All fields of a state side by side: ``[B, S]``."""
    return torch.cat([leaf.flatten(1) for leaf in leaves(state)], 1)


def leaves(state: State) -> list[Tensor]:
    """The tensors of a state."""
    if isinstance(state, Tensor):
        return [state]
    return [leaf for part in state for leaf in leaves(part)]


def copy_of(module: nn.Module, *, double: bool = True) -> nn.Module:
    """A copy in evaluation mode, in float64, that runs every cell by its own ``step``."""
    twin = copy.deepcopy(module).eval()
    if double:
        twin.double()
    for layer in twin.modules():
        if isinstance(layer, Recurrent):
            layer.engine = "loop"
    return twin


@contextlib.contextmanager
def recorded(module: nn.Module) -> Iterator[list[CellTrace]]:
    """Traces of the cells of a module, filled by what is run inside; see ``copy_of``."""
    traces = []
    with contextlib.ExitStack() as stack:
        for name, layer in module.named_modules():
            if isinstance(layer, Recurrent):
                trace = CellTrace(name, layer)
                stack.enter_context(_watched(trace))
                traces.append(trace)
        yield traces


@contextlib.contextmanager
def _watched(trace: CellTrace) -> Iterator[None]:
    cell = trace.cell
    original = cell.step

    def step(
        projected_t: Any, state: State, noise: Any = None, **given: Any
    ) -> tuple[Tensor, State]:
        before = map_state(_live, state)
        extra = () if noise is None else (noise,)
        with watched_gates(cell) as gates:
            made = original(projected_t, before, *extra, **given)
            output, after = next_state(cell, made, before)
        trace.steps.append(Step(projected_t, before, output, after, dict(gates)))
        return output, after

    steps = _replaced(cell, "stepper", lambda: step)
    with _replaced(cell, "step", step), steps, _decay_watched(trace):
        yield


@contextlib.contextmanager
def _decay_watched(trace: CellTrace) -> Iterator[None]:
    cell = trace.cell
    if not isinstance(cell, LinearRecurrentCell):
        yield
        return
    original = cell.project

    def project(x_BTD: Tensor, *noise: Any) -> Any:
        made = original(x_BTD, *noise)
        trace.decay = made.a.detach().abs()
        return made

    with _replaced(cell, "project", project):
        yield


@contextlib.contextmanager
def _replaced(cell: Cell, name: str, value: Any) -> Iterator[None]:
    """A method of this one object for a while, past the cell's own count of changes."""
    vars(cell)[name] = value
    try:
        yield
    finally:
        del vars(cell)[name]


def _live(tensor: Tensor) -> Tensor:
    """A tensor that gradients are taken by: itself, or where a graph begins a part of it."""
    if tensor.requires_grad or not tensor.is_floating_point() or not torch.is_grad_enabled():
        return tensor
    return tensor.detach().requires_grad_()
