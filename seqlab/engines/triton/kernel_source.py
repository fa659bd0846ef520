"""Triton kernels of a cell's equations: one for all steps forward, one for all steps backward.

A program runs a tile of rows and units through all time steps. Where the units are shared among
programs, they read what the others computed from the memory that the backward pass needs anyway,
after a meeting at each step; a program that has all units and keeps the matrix meets nobody.

Where a step needs more than that, kernels run its equations alone, launched at each step.
"""

from __future__ import annotations

from typing import NamedTuple

from seqlab.engines.traced.kept_values import KeptValues, Place, next_states, same_gates
from seqlab.engines.traced.traced_cell import TracedCell, TracedFunction
from seqlab.engines.triton.backward_text import Backward
from seqlab.engines.triton.forward_text import Forward
from seqlab.engines.triton.kernel_text import HEADER
from seqlab.engines.triton.step_text import StepText
from seqlab.expressions import Node


class Source(NamedTuple):
    """The text of a cell's kernels, and what their caller must know.

    ``saved`` counts the values kept for the backward pass; ``output_field`` is the state field that
    is the output, or None; ``same`` tells that input and recurrent gates have equal gradients.
    """

    text: str
    saved: int
    output_field: int | None
    same: bool


def generate(equations: TracedCell, *, blocked: bool = False) -> Source:
    """The kernels ``forward`` and ``backward`` of a cell, as the text of a module.

    Args:
        equations: those of the cell.
        blocked: whether its recurrent matrix is given by the blocks on its diagonal.
    """
    kept, update = KeptValues(), equations.update
    second = equations.later[0].vector if equations.later else None
    free = next_states(update)
    keep_update = kept.keep(update, free)
    keep_second = [] if second is None else kept.keep(second, {})
    same = second is None and same_gates(update)
    text = "\n".join([
        HEADER, Forward(equations, kept, blocked=blocked).text(keep_update, keep_second),
        Backward(equations, kept, same=same, blocked=blocked).text(free),
    ])  # fmt: skip
    return Source(text, len(kept), _output_field(equations), same)


def generate_steps(equations: TracedCell) -> Source:
    """The kernels of one step: ``update``, ``vector1``, ..., and each with ``_backward``."""
    kept, free = KeptValues(), next_states(equations.update)
    keeps: list[tuple[str, TracedFunction, list[Node], dict[Node, Place]]] = [
        ("update", equations.update, kept.keep(equations.update, free), free)
    ]
    for number, (vector, _) in enumerate(equations.later, 1):
        keeps.append((f"vector{number}", vector, kept.keep(vector, {}), {}))
    same = not equations.later and not equations.normalised and same_gates(equations.update)
    write, parts = StepText(equations, kept, same=same), [HEADER]
    for name, function, keep, known in keeps:
        parts.append(write.forward(name, function, keep))
        parts.append(write.backward(f"{name}_backward", function, known))
    return Source("\n".join(parts), len(kept), _output_field(equations), same)


def _output_field(equations: TracedCell) -> int | None:
    output, *states = equations.update.values
    return next((i for i, state in enumerate(states) if state is output), None)
