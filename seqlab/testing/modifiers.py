"""The checks of a modifier: what changes the gates' parts before a cell's equations see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import seqlab
from seqlab.cells.base import HiddenState
from seqlab.cells.declaration import gate_tuple
from seqlab.cells.modifiers import CellGates, Modifier
from seqlab.layers.base import Layer
from seqlab.testing.case import BATCH, INPUT_WIDTH, Case, registered
from seqlab.testing.compare import close, require, same_shape
from seqlab.testing.contract import class_table
from seqlab.testing.engine_runs import against_the_loop, refused_by
from seqlab.testing.modules import require_gradients, require_registered
from seqlab.testing.pickling import survives
from seqlab.testing.result import Numbers, Skip
from seqlab.testing.sample import normal, random_state, run_with_gradients, seeded, shaken

#: A gate with an input part alone, two with both, one with a recurrent part alone.
NAMES = (("own", "keep", "add"), ("keep", "add", "past"))
UNITS = 5
GATES = CellGates(*NAMES, UNITS)
CELLS: dict[str, dict[str, Any]] = {"lstm": {}, "gru": {"reset_after": False}}


@dataclass(frozen=True)
class ModifierCase(Case):
    """A modifier class with its options."""

    kind = "modifier"

    def module(self, seed: int = 0) -> Modifier:
        """A modifier in float64 and inference mode, with shaken parameters."""
        with seeded(seed):
            made: Modifier = self.part(GATES, **self.options)
        return shaken(made, seed=seed + 1).double().eval()

    def layer(self, cell: str, *, engine: str = "loop", reverse: bool = False) -> Layer:
        """A cell with the modifier, run over time."""
        with seeded(5), registered("modifier", self.part) as name:
            options = {**CELLS[cell], "modifier": {"name": name, **self.options}}
            made = seqlab.get("cell", cell)(INPUT_WIDTH, UNITS, **options)
        layer = seqlab.Recurrent(made, engine=engine, reverse=reverse)
        return shaken(layer, seed=6).double().eval()


MODIFIER_CHECKS = class_table(Modifier, GATES)


def gates(known: int = len(NAMES[1]), rows: int = BATCH) -> tuple[Any, Any, HiddenState]:
    """Random ``x``, the first ``known`` recurrent parts, and a state, as a cell gives them."""
    x = gate_tuple(NAMES[0])(*normal(len(NAMES[0]), rows, UNITS, seed=41))
    recurrent = NAMES[1][:known]
    h = gate_tuple(recurrent)(*normal(len(NAMES[1]), rows, UNITS, seed=42)[:known])
    return x, h, HiddenState(normal(rows, UNITS, seed=43))


def parts(made: Sequence[Any]) -> list[Tensor]:
    """The tensors of what ``modify`` returned."""
    return [tensor for group in made for tensor in group]


@MODIFIER_CHECKS.check(gate=True)
def keeps_the_form(case: ModifierCase) -> None:
    """It returns both groups with the fields and shapes that they came with, however few are known.

    Catches: sums in the place of the pair, gates that are read before they are made.
    """
    modifier = case.module()
    for known in range(len(NAMES[1]) + 1):
        x, h, state = gates(known)
        made = modifier.modify(x, h, state)
        alike = isinstance(made, tuple) and [type(p) for p in made] == [type(x), type(h)]
        require(alike, f"with the recurrent parts {h._fields} it gives {type(made).__name__}")
        for part in parts(made):
            same_shape(part, (BATCH, UNITS), f"with the recurrent parts {h._fields}")


@MODIFIER_CHECKS.check(gate=True)
def has_an_effect(case: ModifierCase) -> Numbers:
    """Something differs from what came in.

    Catches: a modifier that passes everything by.
    """
    x, h, state = gates()
    made = case.module().modify(x, h, state)
    pairs = zip(parts(made), [*x, *h], strict=True)
    largest = max(float((a - b).detach().abs().max()) for a, b in pairs)
    require(largest > 1e-6, f"it changes the gates' parts by {largest:.1g}")
    return {"difference": largest}


@MODIFIER_CHECKS.check(needs=("keeps_the_form",))
def is_elementwise(case: ModifierCase) -> Numbers:
    """Row i and unit k of the result depend on row i and unit k alone.

    Catches: sums and norms over units or rows, which engines cannot trace.
    """
    modifier, (x, h, state), moved = case.module(), gates(), torch.zeros(BATCH, UNITS).double()
    moved[2, 1] = 0.7
    before = parts(modifier.modify(x, h, state))
    given = (type(group)(*(part + moved for part in group)) for group in (x, h, state))
    after = parts(modifier.modify(*given))
    kept = moved == 0
    what = "entries other than row 2, unit 1, after that was moved by 0.7"
    return {
        "difference": max(close(a[kept], b[kept], what) for a, b in zip(after, before, strict=True))
    }


@MODIFIER_CHECKS.check(needs=("keeps_the_form",))
def is_pure(case: ModifierCase) -> None:
    """The same values give the same, in training too, and what it is given stays as it is.

    Catches: random numbers, counters, changes in place.
    """
    for training in (True, False):
        modifier, (x, h, state) = case.module().train(training), gates()
        before = [part.clone() for part in (*x, *h, *state)]
        first, second = (parts(modifier.modify(x, h, state)) for _ in range(2))
        same = all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        require(same, "the second of two calls with the same values gives others")
        kept = all(torch.equal(a, b) for a, b in zip((*x, *h, *state), before, strict=True))
        require(kept, "it changes the gates or the state that it is given")


@MODIFIER_CHECKS.check(needs=("keeps_the_form",))
def parameters_get_gradients(case: ModifierCase) -> Numbers:
    """In an LSTM every parameter gets a finite gradient that is not zero, and is registered.

    Catches: vectors that are made and never read, tensors that ``to`` does not see.
    """
    layer = case.layer("lstm")
    require_registered(layer)
    x = normal(BATCH, 6, INPUT_WIDTH, seed=44)
    ran = run_with_gradients(layer, x, random_state(layer, BATCH))
    return {"parameters": require_gradients(layer, ran.gradients)}


@MODIFIER_CHECKS.check(needs=("keeps_the_form",))
def draws_anew(case: ModifierCase) -> None:
    """``reset_parameters`` brings every parameter back to where a new one begins, or draws it.

    Catches: parameters that a second layer of the same form would share.
    """
    modifier = case.module()
    before = {name: value.clone() for name, value in modifier.named_parameters()}
    modifier.reset_parameters()
    for name, value in modifier.named_parameters():
        require(not torch.equal(value, before[name]), f"{name} is not drawn anew")


def _equals_loop(case: ModifierCase, cell: str, name: str) -> Numbers:
    engine = seqlab.get("engine", name)()
    reason = refused_by(engine, case.layer(cell).cells()[0])
    if reason is not None:
        raise Skip(f"the engine refuses a {cell} with it: {reason}")
    return against_the_loop(
        lambda engine, reverse: case.layer(cell, engine=engine, reverse=reverse), name
    )


@MODIFIER_CHECKS.check(needs=("keeps_the_form", "is_elementwise"), slow=True)
def compiled_equals_the_loop(case: ModifierCase) -> Numbers:
    """An LSTM with it gives the loop's outputs and gradients when compiled.

    Catches: what tracing makes a constant of, maths that has no derivative.
    """
    return _equals_loop(case, "lstm", "compiled")


@MODIFIER_CHECKS.check(needs=("keeps_the_form", "is_elementwise"), slow=True)
def compiled_equals_the_loop_in_chains(case: ModifierCase) -> Numbers:
    """So does a GRU with ``reset_after=False``, whose second product needs the first one's gates.

    Catches: gates that are changed before one product and not before the other.
    """
    return _equals_loop(case, "gru", "compiled")


@MODIFIER_CHECKS.check(needs=("is_pure",))
def survives_pickling(case: ModifierCase) -> Numbers:
    """Pickled, copied and saved by torch, it gives the same.

    Catches: types and functions made at run time.
    """
    given = gates()
    return survives(
        case.part, case.module(), lambda modifier: torch.cat(parts(modifier.modify(*given)), -1)
    )
