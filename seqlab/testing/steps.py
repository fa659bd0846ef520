"""Checks of one step of a cell: elementwise equations, export, device."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.cells.base import COUNT, Cell, map_state
from seqlab.cells.gated import GatedCell
from seqlab.engines.over_time import at_time
from seqlab.heads.states import leaves
from seqlab.testing.case import BATCH, CellCase
from seqlab.testing.cells import flat, stepped
from seqlab.testing.check_table import Table
from seqlab.testing.compare import close, require
from seqlab.testing.result import Failure, Numbers, Skip
from seqlab.testing.sample import normal, random_state

STEP_CHECKS = Table()


@STEP_CHECKS.check()
def update_is_elementwise(case: CellCase) -> Numbers:
    """In ``update``, unit k of the result depends on unit k of gates and state alone.

    Catches: sums or softmax over the units, which compiled engines may not see.
    """
    cell = case.cell()
    if not isinstance(cell, GatedCell):
        raise Skip("not a GatedCell: it has no update")
    state = random_state(cell, BATCH)
    width = leaves(state)[-1].shape[-1]
    if width < 2:
        raise Skip("one unit has no others")
    x, h = _parts_of_gates(cell, width, seed=21)
    unit = torch.zeros(width, dtype=torch.float64)
    unit[1] = 0.7
    try:
        before = cell.update(x, h, state)
        moved_state = map_state(lambda part: part + unit[: part.shape[-1]], state)
        x, h = (type(part)(*(gate + unit for gate in part)) for part in (x, h))
        after = cell.update(x, h, moved_state)
    except RuntimeError as error:
        raise Skip(f"update takes gates of another form here: {error}") from error
    others = [k for k in range(width) if k != 1]
    largest = 0.0
    for b, a in zip(flat(before), flat(after), strict=True):
        if b.shape[-1] == width:
            what = "units other than 1, after unit 1 was moved by 0.7"
            largest = max(largest, close(a[:, others], b[:, others], what))
    return {"difference": largest}


@STEP_CHECKS.check()
def update_is_pure(case: CellCase) -> None:
    """``update`` gives the same for the same values, in both modes, and changes nothing.

    Catches: counters and remembered values on the cell, in-place changes of gates and state.
    """
    for training in (True, False):
        cell = case.cell().train(training)
        if not isinstance(cell, GatedCell):
            raise Skip("not a GatedCell: it has no update")
        state = random_state(cell, BATCH)
        x, h = _parts_of_gates(cell, leaves(state)[-1].shape[-1], seed=23)
        given = [*x, *h, *leaves(state)]
        before, set_before = [part.clone() for part in given], _plain_attributes(cell)
        try:
            results = [flat(cell.update(x, h, state)) for _ in range(2)]
        except RuntimeError as error:
            raise Skip(f"update takes gates of another form here: {error}") from error
        kept = all(torch.equal(a, b) for a, b in zip(given, before, strict=True))
        require(kept, "update changes the gates or the state that it is given")
        same = all(torch.equal(a, b) for a, b in zip(*results, strict=True))
        require(same, "the second of two calls with the same values gives others")
        changed = {name for name, _ in _plain_attributes(cell) ^ set_before} - {COUNT}
        require(not changed, f"update changes the cell's {', '.join(sorted(changed))}")


def _parts_of_gates(cell: GatedCell, width: int, *, seed: int) -> tuple[Any, Any]:
    """Random ``x`` and ``h`` for a cell's equations, each part ``[B, width]``."""
    kinds = (cell.input_type, cell.recurrent_type)
    x, h = (
        kind(*normal(len(kind._fields), BATCH, width, seed=seed + place))
        for place, kind in enumerate(kinds)
    )
    return x, h


def _plain_attributes(cell: nn.Module) -> set[tuple[str, str]]:
    """What is set on a cell and its parts beside tensors, in words."""
    parts = cell.named_modules()
    own = ((f"{part}.{name}".lstrip("."), value)
           for part, module in parts for name, value in vars(module).items())  # fmt: skip
    return {(name, repr(value)) for name, value in own if not isinstance(value, Tensor)}


class ExportedStep(nn.Module):
    """One step with the state as separate arguments, as it is exported for streaming."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x_B1D: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """``[B, 1, D]`` and the state's tensors, to the output and the next state's."""
        parts = iter(state)
        before = map_state(lambda _: next(parts), self.cell.initial_state(x_B1D.shape[0]))
        output, after = self.cell.step(at_time(self.cell.project(x_B1D), 0), before)
        return (output, *leaves(after))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the graphs that torch prints when an export fails; the error says enough."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


@STEP_CHECKS.check()
def step_exports(case: CellCase) -> Numbers:
    """``torch.export`` turns one step into a graph that gives the same numbers.

    Catches: Python branches on values, ``item()`` and numpy inside the step.
    """
    cell, x = case.cell(dtype=torch.float32), case.data(steps=1).float()
    step, state = ExportedStep(cell), leaves(random_state(cell, BATCH))
    try:
        with _quiet():
            graph = torch.export.export(step, (x, *state), strict=False).module()
    except Exception as error:
        text = " ".join(str(error).split())[:160]
        raise Failure(f"torch.export refuses the step: {type(error).__name__}: {text}") from error
    other = normal(BATCH, 1, case.width, seed=31, dtype=torch.float32)
    pairs = zip(graph(other, *state), step(other, *state), strict=True)
    return {"difference": max(close(a, e, "exported step", tolerance=1e-5) for a, e in pairs)}


@STEP_CHECKS.check(needs=("step_exports",))
def step_follows_its_device(case: CellCase) -> None:
    """The step runs wholly where its parameters are; tried on ``meta``, which every machine has.

    Catches: constants made on the CPU inside the step.
    """
    cell = case.cell().to("meta")
    x = torch.empty(BATCH, 2, case.width, device="meta", dtype=torch.float64)
    try:
        output, state = stepped(cell, x)
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise Failure(f"a cell on device meta raised {type(error).__name__}: {text}") from error
    for part in (output, *leaves(state)):
        require(part.device.type == "meta", f"a result of a cell on meta lies on {part.device}")
