"""The checks of a cell. Those of the first tables are its contract: nothing follows without."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from seqlab.cells.base import Cell
from seqlab.engines.over_time import at_time
from seqlab.errors import ShapeError
from seqlab.heads.states import leaves
from seqlab.testing.case import BATCH, MANY_ROWS, STEPS, CellCase
from seqlab.testing.check_table import Table
from seqlab.testing.compare import close, close_states, refused, require, same_shape
from seqlab.testing.contract import REFUSALS, require_docstring, require_subclass
from seqlab.testing.result import Failure, Numbers
from seqlab.testing.sample import random_state, seeded

FIRST, CONTRACT = Table(), Table()


@FIRST.check(gate=True)
def constructor(case: CellCase) -> None:
    """It is a ``Cell`` built from two sizes, and refuses sizes of 0 and options it does not have.

    Catches: missing attributes, options that are swallowed without effect.
    """
    require_subclass(case.part, Cell)
    cell = case.new()
    sizes = {"input_size": case.width, "hidden_size": case.hidden}
    for name, value in sizes.items():
        found = getattr(cell, name, None)
        require(found == value, f"{name} is {found!r} after {case.part.__name__}({value}, ...)")
    output_size = cell.output_size
    require(
        isinstance(output_size, int) and output_size > 0,
        f"output_size must be an int above 0, it is {output_size!r}",
    )
    no_width = functools.partial(case.part, 0, case.hidden, **case.cell_options)
    refused(no_width, (*REFUSALS, ShapeError), "input_size=0")
    refused(lambda: case.new(no_such_option=1), REFUSALS, "the unknown option no_such_option=1")


@FIRST.check(gate=True)
def documented(case: CellCase) -> None:
    """The class has a docstring of its own.

    Catches: a part that nobody can look up.
    """
    require_docstring(case.part)


@CONTRACT.check(gate=True)
def initial_state_fits(case: CellCase) -> None:
    """``initial_state`` gives ``[B, ...]`` tensors where, and in the dtype, it is asked for.

    Catches: a fixed dtype or device, a wrong number of rows.
    """
    for dtype in (torch.float32, torch.float64):
        cell = case.cell(dtype=dtype)
        for what, state in (
            ("of the parameters", cell.initial_state(BATCH)),
            ("asked for", cell.initial_state(BATCH, dtype=dtype)),
        ):
            require(leaves(state), "initial_state holds no tensor")
            for index, part in enumerate(leaves(state)):
                place = f"initial_state, tensor {index}"
                rows = part.shape[0] if part.dim() else 0
                require(rows == BATCH, f"{place} has {rows} rows, not {BATCH}", rows=rows)
                fits = not part.is_floating_point() or part.dtype == dtype
                require(fits, f"{place} is {part.dtype}, and the dtype {what} is {dtype}")
    meta = leaves(case.cell().initial_state(2, device="meta"))
    require(
        all(part.device.type == "meta" for part in meta),
        f"initial_state(device='meta') gives a tensor on {meta[0].device}",
    )


def stepped(cell: Cell, x: Tensor, state: object = None) -> tuple[Tensor, object]:
    """One step of a cell on the first time step of an input, without noise."""
    before = cell.initial_state(x.shape[0]) if state is None else state
    return cell.step(at_time(cell.project(x), 0), before)


@CONTRACT.check(gate=True)
def step_shapes_are_true(case: CellCase) -> None:
    """One step gives ``[B, output_size]`` and a state of the structure and shapes it was given.

    Catches: a wrong ``output_size`` or ``state_sizes``, a state that changes its form.
    """
    cell = case.cell()
    before = random_state(cell, BATCH)
    output, after = stepped(cell, case.data(), before)
    same_shape(output, (BATCH, cell.output_size), "output of one step, by output_size")
    require(
        type(after) is type(before),
        f"step takes a {type(before).__name__} and gives a {type(after).__name__}",
    )
    shapes = [[list(part.shape) for part in leaves(state)] for state in (before, after)]
    require(shapes[0] == shapes[1], f"step takes a state {shapes[0]} and gives {shapes[1]}")
    widths = [part.shape[-1] for part in leaves(before)]
    require(
        len(widths) != len(cell.state_sizes) or tuple(widths) == tuple(cell.state_sizes),
        f"state_sizes is {tuple(cell.state_sizes)}, the state has widths {tuple(widths)}",
    )


@CONTRACT.check(gate=True)
def arguments_stay_unchanged(case: CellCase) -> None:
    """``project`` and ``step`` change neither their input nor the state they are given.

    Catches: in-place operations on the state, such as ``state.cell.mul_(f)``.
    """
    cell, x = case.cell(), case.data(batch=MANY_ROWS)
    state = random_state(cell, MANY_ROWS)
    projected = cell.project(x)
    given = {"x": x, **{f"state[{i}]": part for i, part in enumerate(leaves(state))}}
    if isinstance(projected, Tensor):
        given["projected"] = projected
    before = {name: value.clone() for name, value in given.items()}
    try:
        with torch.no_grad():
            stepped(cell, x, state)
            cell.step(at_time(projected, 0), state)
    except RuntimeError as error:
        raise Failure(f"the step raised {type(error).__name__}: {error}") from error
    for name, value in given.items():
        if not torch.equal(value, before[name]):
            moved = float((value - before[name]).abs().max())
            raise Failure(f"{name} was changed in place, by up to {moved:.3g}", change=moved)


@CONTRACT.check(gate=True)
def nothing_is_kept(case: CellCase) -> Numbers:
    """The same step twice, with the same random numbers, gives the same result.

    Catches: state kept on the module between calls, such as a counter or the last hidden state.
    """
    largest = 0.0
    for training in (False, True):
        cell = case.cell().train(training)
        x, state = case.data(), random_state(cell, BATCH)
        results = []
        for _ in range(2):
            with seeded(5):
                results.append(stepped(cell, x, state))
        mode = "training" if training else "inference"
        what = f"the second of two equal calls of step in {mode} mode"
        largest = max(largest, close(results[1][0], results[0][0], f"{what}, output"))
        largest = max(largest, close_states(results[1][1], results[0][1], what))
    return {"difference": largest}


def _twice(cell: Cell, x: Tensor, state: object, what: str) -> float:
    """The same step under two seeds; fails when it drew a random number."""
    results, states = [], []
    for seed in (5, 6):
        with seeded(seed):
            results.append(stepped(cell, x, state))
            states.append(torch.random.get_rng_state())
            torch.manual_seed(seed)
            drew = not torch.equal(states[-1], torch.random.get_rng_state())
    largest = close(results[1][0], results[0][0], f"output under two seeds, {what}")
    largest = max(largest, close_states(results[1][1], results[0][1], f"under two seeds, {what}"))
    require(not drew, f"random numbers were drawn, {what}")
    return largest


@CONTRACT.check(gate=True)
def inference_is_deterministic(case: CellCase) -> Numbers:
    """In inference mode ``project`` and ``step`` draw no random number.

    Catches: dropout that is active at inference.
    """
    cell = case.cell()
    state = random_state(cell, BATCH)
    return {"difference": _twice(cell, case.data(), state, "in inference mode")}


@CONTRACT.check(gate=True)
def randomness_comes_from_sample_noise(case: CellCase) -> Numbers:
    """In training mode, too, ``project`` and ``step`` draw no random number of their own.

    Catches: dropout inside the step, which no engine can trace or repeat.
    """
    cell = case.cell().train()
    state = random_state(cell, BATCH)
    return {"difference": _twice(cell, case.data(), state, "in training mode without noise")}


@CONTRACT.check(gate=True)
def project_is_per_step(case: CellCase) -> Numbers:
    """``project`` of a sequence is ``project`` of each of its steps.

    Catches: means or convolutions over time, which padding, streaming and reversing would break.
    """
    cell, x = case.cell(), case.data()
    whole, largest = cell.project(x), 0.0
    for t in range(STEPS):
        alone = at_time(cell.project(x[:, t : t + 1]), 0)
        for a, e in zip(flat(alone), flat(at_time(whole, t)), strict=True):
            largest = max(largest, close(a, e, f"project of step {t} alone"))
    return {"difference": largest}


def flat(projected: object) -> list[Tensor]:
    """The tensors of what ``project`` or ``update`` returned."""
    if isinstance(projected, Tensor):
        return [projected]
    parts: list[Tensor] = []
    for part in projected:  # type: ignore[attr-defined]
        parts += flat(part)
    return parts
