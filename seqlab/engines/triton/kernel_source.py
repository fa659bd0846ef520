"""Triton kernels of a cell's equations: one for all steps forward, one for all steps backward.

A program runs a tile of rows and units through all time steps. Where the units are shared among
programs, they read what the others computed from the memory that the backward pass needs anyway,
after a meeting at each step; a program that has all units and keeps the matrix meets nobody.
"""

from __future__ import annotations

from typing import NamedTuple

from seqlab.engines.traced.kept_values import KeptValues, next_states, same_gates
from seqlab.engines.traced.traced_cell import TracedCell
from seqlab.engines.triton.backward_text import Backward
from seqlab.engines.triton.forward_text import Forward
from seqlab.engines.triton.kernel_text import HEADER


class Source(NamedTuple):
    """The text of ``forward`` and ``backward``, and what their caller must know.

    ``saved`` counts the values kept for the backward pass; ``output_field`` is the state field that
    is the output, or None; ``same`` tells that input and recurrent gates have equal gradients.
    """

    text: str
    saved: int
    output_field: int | None
    same: bool


def generate(equations: TracedCell) -> Source:
    """The kernels of a cell, as the text of a module."""
    kept, update = KeptValues(), equations.update
    second = equations.later[0].vector if equations.later else None
    free = next_states(update)
    keep_update = kept.keep(update, free)
    keep_second = [] if second is None else kept.keep(second, {})
    same = second is None and same_gates(update)
    text = "\n".join([
        HEADER, Forward(equations, kept).text(keep_update, keep_second),
        Backward(equations, kept, same=same).text(free),
    ])  # fmt: skip
    output, *states = update.values
    field = next((i for i, state in enumerate(states) if state is output), None)
    return Source(text, len(kept), field, same)
