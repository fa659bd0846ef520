"""Runs of a cell by an engine, held against the loop: the core of two kinds' checks."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqlab.cells.base import Cell
from seqlab.engines.base import Engine, Sequence
from seqlab.engines.instances import engine as engine_by_name
from seqlab.layers.base import Layer
from seqlab.testing.case import BATCH, CellCase
from seqlab.testing.check_table import Check, Table
from seqlab.testing.compare import close, close_all, close_states
from seqlab.testing.others import others
from seqlab.testing.result import Numbers, Skip
from seqlab.testing.sample import (
    Ran,
    holey_mask,
    normal,
    padded_mask,
    random_state,
    run_with_gradients,
)

REFERENCE = "loop"
#: Engines that call a compiler or trace a graph, which takes seconds.
SLOW_ENGINES = ("compiled", "export")
STEPS = 11


def refusal(name: str, case: CellCase) -> str | None:
    """Why an engine does not run the case's cell, or None."""
    return refused_by(engine_by_name(name), case.cell())


def refused_by(engine: Engine, cell: Cell, noise: Any = None) -> str | None:
    """Why an engine does not run a cell, or None: by its offer, or when it is prepared."""
    like = next(cell.parameters(), torch.zeros((), dtype=torch.float64))
    x = torch.zeros(1, 2, cell.input_size, dtype=like.dtype)
    run = Sequence(x, cell.initial_state(1, dtype=like.dtype), noise=noise)
    answer = engine.offer(cell, run)
    return answer if isinstance(answer, str) else engine.prepare(cell, run)


def against_the_loop(
    make: Callable[[str, bool], Layer],
    name: str,
    *,
    gradients: bool = True,
    tolerance: float = 1e-8,
) -> Numbers:
    """Outputs, final states and all gradients of an engine and of the loop, in float64.

    Args:
        make: a layer by engine and direction, with the same weights whenever it is called.
        name: the engine.
        gradients: whether gradients are compared.
        tolerance: the largest difference allowed.

    Raises:
        Failure: they differ; the message says in which run.
    """
    worst = {"output": 0.0, "state": 0.0}
    if gradients:
        worst["gradient"] = 0.0
    for reverse, (label, mask) in itertools.product((False, True), _masks().items()):
        what = f"{name}, {'reversed' if reverse else 'forward'}, {label}"
        loop = make(REFERENCE, reverse)
        x, state = normal(BATCH, STEPS, loop.input_size, seed=17), random_state(loop, BATCH)
        expected, actual = (
            _run(layer, x, state, mask, gradients) for layer in (loop, make(name, reverse))
        )
        found = _apart(actual, expected, what, tolerance)
        worst = {key: max(worst[key], found[key]) for key in worst}
    return worst


def _masks() -> dict[str, Tensor | None]:
    return {
        "no mask": None,
        "padding": padded_mask([STEPS, 0, 1, 6], STEPS),
        "holes": holey_mask(BATCH, STEPS),
    }


def _run(layer: Layer, x: Tensor, state: Any, mask: Tensor | None, gradients: bool) -> Ran:
    if gradients:
        return run_with_gradients(layer, x, state, mask)
    with torch.no_grad():
        output, final = layer(x, state, mask=mask)
    return Ran(output, final, {})


def _apart(actual: Ran, expected: Ran, what: str, tolerance: float) -> dict[str, float]:
    return {
        "output": close(actual.output, expected.output, f"{what}: output", tolerance=tolerance),
        "state": close_states(
            actual.state, expected.state, f"{what}: final state", tolerance=tolerance
        ),
        "gradient": close_all(
            actual.gradients, expected.gradients, f"{what}: gradient", tolerance=tolerance
        ),
    }


def _equals_loop(case: CellCase, *, name: str) -> Numbers:
    reason = refusal(name, case)
    if reason is not None:
        raise Skip(f"the engine refuses this cell: {reason}")
    return against_the_loop(
        lambda engine, reverse: case.layer(engine=engine, reverse=reverse),
        name,
        gradients=engine_by_name(name).differentiable,
    )


def engine_checks(part: Any) -> Table:
    """One check an engine that ``part`` is tried on, the reference apart."""
    table = Table()
    for name in others("engine", part):
        if name == REFERENCE:
            continue
        text = (
            f"The engine '{name}' gives the loop's outputs, final states and gradients.\n\n"
            "Catches: swapped gates, a vendor kernel claimed for other equations, lost gradients."
        )
        needs = ("rows_do_not_mix", "gradients_are_exact", "small_batches_run")
        function = functools.partial(_equals_loop, name=name)
        slow = name in SLOW_ENGINES
        table.add(Check(f"engine_{name}", function, needs, slow=slow, text=text))
    return table
