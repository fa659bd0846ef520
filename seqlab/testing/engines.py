"""The checks of an engine: every run it does not refuse equals the definition and the loop."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from seqlab import registry
from seqlab.cells.base import Cell, map_state
from seqlab.construct import accepted_options
from seqlab.engines.base import Engine, Offer, Sequence
from seqlab.engines.over_time import at_time
from seqlab.heads.states import leaves, select_rows
from seqlab.layers.recurrent import Recurrent
from seqlab.testing.case import BATCH, Case, CellCase, registered
from seqlab.testing.check_table import Check, Table
from seqlab.testing.compare import close, close_states, require
from seqlab.testing.contract import class_contract
from seqlab.testing.engine_runs import SLOW_ENGINES, STEPS, against_the_loop, refused_by
from seqlab.testing.others import others
from seqlab.testing.result import Numbers, Skip
from seqlab.testing.sample import holey_mask, normal, random_state, seeded

#: Training-time options whose random masks an engine must apply as the loop does.
NOISE = {"dropout": 0.4, "recurrent_dropout": 0.3, "weight_dropout": 0.3, "zoneout": 0.2}


@dataclass(frozen=True)
class EngineCase(Case):
    """An engine class."""

    kind = "engine"

    def engine(self) -> Engine:
        """An instance."""
        made: Engine = self.part()
        return made

    @contextlib.contextmanager
    def named(self) -> Iterator[str]:
        """The engine's name in the registry."""
        with registered("engine", self.part) as name:
            yield name

    def cell(self, name: str) -> CellCase:
        """A registered cell that the engine does not refuse.

        Raises:
            Skip: it does; the reason is its own.
        """
        case = CellCase(registry.get("cell", name))
        reason = refused_by(self.engine(), case.cell())
        if reason is not None:
            raise Skip(f"the engine refuses {name}: {reason}")
        return case

    def any_cell(self) -> CellCase:
        """The first registered cell that the engine runs.

        Raises:
            Skip: it refuses them all.
        """
        for name in ("gru", "lstm", *others("cell", self.part)):
            with contextlib.suppress(Skip):
                return self.cell(name)
        raise Skip("the engine refuses every registered cell")


CONTRACT = Table()
ENGINE_CHECKS = Table()


@CONTRACT.check(gate=True)
def constructor(case: EngineCase) -> None:
    """It is a documented ``Engine`` built without arguments, with a name of its own.

    Catches: engines with state, a name that is that of another.
    """
    engine = class_contract(case, Engine)
    name = getattr(engine, "name", None)
    require(isinstance(name, str) and name, f"name is {name!r}")
    gradients = engine.differentiable
    require(isinstance(gradients, bool), f"differentiable is {gradients!r}, not True or False")
    with case.named() as key:
        mine = key in registry.available("engine") and registry.get("engine", key) is case.part
        require(mine, f"the registry has another engine under '{key}'")


@CONTRACT.check(gate=True)
def offers_are_sound(case: EngineCase) -> Numbers:
    """For every registered cell it makes an offer, or says in words why it cannot run it.

    An offer has times that are finite and not negative, a reason, and is the same again.

    Catches: True and False in place of a reason, errors instead of refusals, moods.
    """
    refused = 0
    for name in others("cell", case.part):
        cell_case = CellCase(registry.get("cell", name))
        for cell in (cell_case.cell(), cell_case.cell(dtype=torch.float32).train()):
            dtype = next(cell.parameters()).dtype
            x = torch.zeros(1, 2, cell.input_size, dtype=dtype)
            run = Sequence(x, cell.initial_state(1, dtype=dtype))
            answer, again = (case.engine().offer(cell, run) for _ in range(2))
            require(answer == again, f"offer for {name} is {answer!r}, then {again!r}")
            refused += _refuses(answer, name)
    return {"refused": refused}


def _refuses(answer: Any, name: str) -> bool:
    """Whether a sound answer is a refusal."""
    if isinstance(answer, Offer):
        times = (answer.setup_seconds, answer.call_seconds)
        sound = all(math.isfinite(time) and time >= 0 for time in times) and answer.why.strip()
        require(sound, f"offer for {name} is {answer!r}")
        return False
    words = isinstance(answer, str) and bool(answer.strip())
    require(words, f"offer for {name} is {answer!r}, neither an Offer nor a reason")
    return True


def by_definition(
    cell: Cell, x: Tensor, state: Any, mask: Tensor, *, reverse: bool
) -> tuple[Tensor, Any]:
    """Each row alone, over its real steps only, one step at a time: what every engine must give."""
    rows, finals = [], []
    for row in range(x.shape[0]):
        output = x.new_zeros(x.shape[1], cell.output_size)
        now = select_rows(state, torch.tensor([row]))
        times = mask[row].nonzero().flatten().tolist()
        for t in reversed(times) if reverse else times:
            projected = at_time(cell.project(x[row : row + 1, t : t + 1]), 0)
            step, now = cell.step(projected, now)
            output[t] = step[0]
        rows.append(output)
        finals.append(now)
    return torch.stack(rows), map_state(lambda *parts: torch.cat(parts), *finals)


@ENGINE_CHECKS.check(gate=True)
def masks_and_directions_hold(case: EngineCase) -> Numbers:
    """With holes in the mask, forward and reversed, it gives each row's real steps run by hand.

    Catches: masks that are ignored or read as lengths, outputs that lose their place in time.
    """
    cell_case, largest = case.any_cell(), 0.0
    cell = cell_case.cell()
    x, state = normal(BATCH, STEPS, cell.input_size, seed=71), random_state(cell, BATCH)
    masks = {
        "all real": torch.ones(BATCH, STEPS, dtype=torch.bool),
        "holes": holey_mask(BATCH, STEPS),
    }
    for label, mask in masks.items():
        clean = x.masked_fill(~mask.unsqueeze(-1), 0.0)
        for reverse in (False, True):
            what = f"{label}, {'reversed' if reverse else 'forward'}"
            given = None if label == "all real" else mask
            with torch.no_grad():
                expected = by_definition(cell, clean, state, mask, reverse=reverse)
                found = case.engine().run(cell, Sequence(clean, state, given, reverse))
            largest = max(
                largest,
                close(found[0], expected[0], f"{what}: output"),
                close_states(found[1], expected[1], f"{what}: final state"),
            )
    return {"difference": largest}


@ENGINE_CHECKS.check(gate=True)
def gradients_reach_everything(case: EngineCase) -> Numbers:
    """Input, initial state and every parameter get the loop's gradients.

    An engine for inference says so by ``differentiable = False``.

    Catches: a state that is detached at the start, weights copied without their gradient.
    """
    cell = case.any_cell()
    if not case.engine().differentiable:
        raise Skip("the engine is for inference: differentiable is False")
    x, state = normal(1, 2, cell.width, seed=17), cell.cell().initial_state(1)
    output, _ = case.engine().run(cell.cell(), Sequence(x, state))
    why = "the output carries no gradient; an engine for inference sets differentiable = False"
    require(output.requires_grad, why)
    with case.named() as name:
        return against_the_loop(
            lambda engine, reverse: cell.layer(engine=engine, reverse=reverse), name
        )


@ENGINE_CHECKS.check(gate=True)
def nothing_is_kept_or_changed(case: EngineCase) -> Numbers:
    """A second run gives the same, and input, state and mask are as they were.

    Catches: buffers that outlive a run, in-place work on the caller's tensors.
    """
    cell, engine = case.any_cell().cell(), case.engine()
    x, state = normal(BATCH, STEPS, cell.input_size, seed=72), random_state(cell, BATCH)
    mask = holey_mask(BATCH, STEPS)
    x = x.masked_fill(~mask.unsqueeze(-1), 0.0)
    given = [x, mask, *leaves(state)]
    before = [part.clone() for part in given]
    outputs = []
    with torch.no_grad():
        for _ in range(2):
            outputs.append(engine.run(cell, Sequence(x, state, mask))[0].clone())
            engine.run(cell, Sequence(2 * x, state, None, reverse=True))
    moved = [i for i, (a, b) in enumerate(zip(given, before, strict=True)) if not torch.equal(a, b)]
    names = ["input", "mask", *(f"state[{i}]" for i in range(len(given) - 2))]
    require(not moved, f"the run changed the caller's {', '.join(names[i] for i in moved)}")
    return {"difference": close(outputs[1], outputs[0], "the second of two runs")}


@ENGINE_CHECKS.check()
def noise_is_applied(case: EngineCase) -> Numbers:
    """In training it applies dropout and zoneout masks as the loop does, or refuses them.

    Catches: engines that forget a mask, or draw one of their own.
    """
    tried = {}
    with case.named() as name:
        for cell_name in ("gru", "lstm", "rnn", "min_gru"):
            part = registry.get("cell", cell_name)
            accepted = accepted_options(part)
            for option in [name for name in NOISE if name in accepted]:
                rate = NOISE[option]
                cell = CellCase(part, {option: rate}).cell().train()
                x = normal(BATCH, STEPS, cell.input_size, seed=73)
                with seeded(8):
                    noise = cell.sample_noise(BATCH, STEPS, device=x.device, dtype=x.dtype)
                if refused_by(case.engine(), cell, noise) is not None:
                    continue
                outputs = []
                for engine in ("loop", name):
                    with seeded(8), torch.no_grad():
                        outputs.append(Recurrent(cell, engine=engine)(x)[0])
                what = f"{cell_name} with {option}={rate} in training"
                tried[f"{cell_name}_{option}"] = close(outputs[1], outputs[0], what, tolerance=1e-8)
    if not tried:
        raise Skip("the engine refuses all dropout and zoneout")
    return {"difference": max(tried.values()), "tried": len(tried)}


@ENGINE_CHECKS.check()
def one_step_and_one_row_run(case: EngineCase) -> None:
    """One row and one step give results of the right shape.

    Catches: code that needs a second step, ``squeeze`` that drops the batch.
    """
    cell = case.any_cell().cell()
    for batch, steps in ((1, 1), (1, 5), (3, 1)):
        x = normal(batch, steps, cell.input_size, seed=74)
        state = cell.initial_state(batch)
        with torch.no_grad():
            output, final = case.engine().run(cell, Sequence(x, state))
        shapes = [list(output.shape), *(list(part.shape) for part in leaves(final))]
        expected = [[batch, steps, cell.output_size], *(list(p.shape) for p in leaves(state))]
        require(shapes == expected, f"B={batch}, T={steps}: shapes {shapes}, expected {expected}")


def _runs(case: EngineCase, *, name: str) -> Numbers:
    cell = case.cell(name)
    with case.named() as engine:
        return against_the_loop(
            lambda chosen, reverse: cell.layer(engine=chosen, reverse=reverse),
            engine,
            gradients=case.engine().differentiable,
        )


def engine_table(part: Any) -> Table:
    """The checks of an engine, one a registered cell among them."""
    slow = getattr(part, "name", "") in SLOW_ENGINES
    table = Table(CONTRACT)
    for check in ENGINE_CHECKS.checks:
        table.add(replace(check, slow=slow))
    for name in others("cell", part):
        text = (
            f"It runs the cell '{name}' with the loop's outputs, states and gradients.\n\n"
            "Catches: lost gradients, swapped gates, wrong masks."
        )
        table.add(Check(f"runs_{name}", functools.partial(_runs, name=name), slow=slow, text=text))
    return table
