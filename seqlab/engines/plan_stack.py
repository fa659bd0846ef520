"""Whether several layers' cells run in one call of one engine, which the planner decides too."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

import torch

from seqlab.cells.base import Cell, first_parameter, settings_key
from seqlab.engines.base import Engine, Offer, Sequence, Stack
from seqlab.engines.instances import under_transform, usable_engines
from seqlab.engines.plan import Plan, Planner, calls_priced, form_key

#: Sums of the same estimates may differ by rounding.
_SLACK = 1 + 1e-9


class Member(NamedTuple):
    """A cell of a stack, the engine asked for, and the planner of its layer."""

    cell: Cell
    engine: str
    planner: Planner


class StackPlan(NamedTuple):
    """The engine that runs a stack in one call, and the plan of each of its cells alone."""

    engine: Engine
    alone: tuple[Plan, ...]


@torch.compiler.disable  # type: ignore[untyped-decorator]  # torch's own
def stack_form(member: Member) -> Hashable | None:
    """Cells of one form may stand in one stack; None for a cell that no engine runs so."""
    cell = member.cell
    like = first_parameter(cell)
    key = ("form", member.engine, cell, settings_key(cell), None if like is None else like.dtype)
    known = member.planner.recall(key)
    if known is None:
        usable, _ = usable_engines()
        asked = usable if member.engine == "auto" else {member.engine: usable.get(member.engine)}
        forms = {name: e.stack_form(cell) for name, e in asked.items() if e is not None}
        found = tuple((name, form) for name, form in forms.items() if form is not None)
        known = (found or None,)
        member.planner.keep(key, known)
    form: Hashable | None = known[0]
    return form


def plan_stack(
    members: tuple[tuple[Member, ...], ...], run: Sequence, *, at_rest: bool
) -> StackPlan | None:
    """The cheapest engine for all cells at once; None where they are cheaper one by one.

    Args:
        members: the levels from the input to the output.
        run: the input of the first level; ``state`` is not looked at.
        at_rest: whether every initial state is known to be zero.
    """
    flat = tuple(member for level in members for member in level)
    planner = flat[0].planner
    asked = tuple((member.engine, member.cell, settings_key(member.cell)) for member in flat)
    key = ("stack", len(members), asked, at_rest, run.reverse, form_key(flat[0].cell, run))
    known = planner.recall(key)
    if known is None:
        stack = Stack(tuple(tuple(m.cell for m in level) for level in members), at_rest)
        known = (_cheapest(members, stack, run),)
        planner.keep(key, known)
    plan: StackPlan | None = known[0]
    return plan


def _cheapest(
    members: tuple[tuple[Member, ...], ...], stack: Stack, run: Sequence
) -> StackPlan | None:
    names = {member.engine for level in members for member in level} - {"auto"}
    offers: dict[str, Offer] = {}
    usable, _ = usable_engines()
    for name, engine in usable.items():
        if names <= {name} and engine.transformable >= under_transform():
            answer = engine.offer_stack(stack, run)
            if isinstance(answer, Offer) and not answer.setup_seconds:
                offers[name] = answer
    if not offers:
        return None
    best = min(offers, key=lambda name: offers[name].call_seconds)
    alone, x = [], run.x
    for level in members:
        alone += [m.planner.plan(m.engine, m.cell, run._replace(x=x)) for m in level]
        # plans look at the form alone
        x = run.x[..., :1].expand(-1, -1, sum(m.cell.output_size for m in level))
    if calls_priced() * offers[best].call_seconds > sum(plan.price for plan in alone) * _SLACK:
        return None
    return StackPlan(usable[best], tuple(alone))
