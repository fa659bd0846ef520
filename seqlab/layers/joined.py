"""Layers side by side and on top of each other in one run of an engine.

A layer describes itself as a level: one cell, or a forward and a backward one. Levels of one form
with nothing between them are run together where the planner finds that cheapest; in every other
case each layer runs by itself. Both ways give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from seqlab.cells.base import Cell, first_parameter
from seqlab.cells.gated import GatedCell
from seqlab.cells.linear import LinearRecurrentCell
from seqlab.engines import base as engines
from seqlab.engines.plan_stack import Member, StackPlan, plan_stack, stack_form
from seqlab.errors import ShapeError
from seqlab.layers.base import Layer, combined_mask
from seqlab.layers.level import Level
from seqlab.types import State

#: Cells that begin with a product of the input and a matrix.
_MULTIPLIES = (GatedCell, LinearRecurrentCell)


def single(
    member: Member, start: Callable[[Tensor, State | None], State], *, reverse: bool, at_rest: bool
) -> Level | None:
    """The level of one cell; None if it must run by itself."""
    cell = member.cell
    remembers = getattr(cell, "activity_regularizer", None) is not None and cell.training
    if remembers or draws_noise(cell) or cell._forward_pre_hooks:  # noqa: SLF001  # torch's
        return None
    form = stack_form(member)
    if form is None:
        return None
    return Level((member,), form, reverse, at_rest, (start,), lambda s: (s,), lambda s: s)


def side_by_side(
    forward: Layer,
    backward: Layer,
    split: Callable[[State], Sequence[State]],
    join: Callable[..., State],
) -> Level | None:
    """The level of a pair; None if its layers cannot run in one call."""
    first, second = forward.level(), backward.level()
    if first is None or second is None or first.form != second.form:
        return None
    members = (*first.members, *second.members)
    if len(members) != 2 or first.reverse == second.reverse:
        return None
    start = (*first.start, *second.start)
    at_rest = first.at_rest and second.at_rest
    return Level(members, first.form, first.reverse, at_rest, start, split, join)


def fits_type(cell: Cell, x: Tensor) -> bool:
    """Whether the input has the type of the matrices that multiply it, or autocast sees to it."""
    like = first_parameter(cell)
    if like is None or like.dtype == x.dtype or not isinstance(cell, _MULTIPLIES):
        return True
    device = x.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def check_type(cell: Cell, x: Tensor, owner: Callable[[], str]) -> None:
    """Refuse an input of another type than the matrices that multiply it.

    Raises:
        ShapeError: the message gives both types and what to write.
    """
    if fits_type(cell, x):
        return
    like = next(cell.parameters())
    raise ShapeError(
        f"{owner()}: the input is {x.dtype} and the parameters are {like.dtype}; "
        f"write x.to({like.dtype})"
        + (f" or layer.to({x.dtype})" if x.dtype.is_floating_point else "")
    )


def is_plain(module: nn.Module, owner: type[nn.Module]) -> bool:
    """Whether calling a module runs the ``forward`` of ``owner`` and nothing else.

    Hooks, a subclass's ``forward`` and the like must see the call, so they keep it apart.
    """
    own = vars(module)
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return (
        type(module).forward is owner.forward
        and "forward" not in own
        and not any(own.get(name) for name in (*hooks, "_compiled_call_impl"))
        and not _has_any_global_hook()  # type: ignore[no-untyped-call]  # torch's own
    )


def runs_of(layers: Sequence[Layer]) -> list[tuple[list[Layer], list[Level]]]:
    """The layers of a stack in groups that may run in one call, with their levels.

    The levels of a layer that must run by itself are empty.
    """
    found: list[tuple[list[Layer], list[Level]]] = []
    described = [(layer, layer.level()) for layer in layers]
    for shape, group in groupby(described, lambda pair: pair[1] and pair[1].shape):
        parts = list(group)
        if shape is None:
            found += [([layer], []) for layer, _ in parts]
        else:
            found.append(([la for la, _ in parts], [le for _, le in parts if le is not None]))
    return found


def plan_together(
    levels: Sequence[Level], x_BTD: Tensor, mask: Tensor | None, *, at_rest: bool
) -> StackPlan | None:
    """The plan of one run of all levels; None for a single cell, which is a run of its own."""
    members = tuple(level.members for level in levels)
    if sum(map(len, members)) < 2:
        return None
    run = engines.Sequence(x_BTD, None, mask, reverse=levels[0].reverse)
    return plan_stack(members, run, at_rest=at_rest)


def run_joined(
    levels: Sequence[Level],
    x_BTD: Tensor,
    states: Sequence[State | None],
    lengths: Tensor | None,
    mask: Tensor | None,
) -> tuple[Tensor, list[State]] | None:
    """Run the levels together; None where they do not, and each layer must run by itself.

    Args:
        levels: from the input to the output, all of one form and direction.
        x_BTD: input.
        states: the state of each level, None for its initial state.
        lengths: as for ``Layer.forward``.
        mask: as for ``Layer.forward``.

    Returns:
        The last level's output, directions side by side, and the final state of each level.
    """
    if torch.compiler.is_exporting():
        return None
    found: tuple[Tensor, list[State]] | None = _run_joined(levels, x_BTD, states, lengths, mask)
    return found


@torch.compiler.disable  # type: ignore[untyped-decorator]  # torch's own
def _run_joined(
    levels: Sequence[Level],
    x_BTD: Tensor,
    states: Sequence[State | None],
    lengths: Tensor | None,
    mask: Tensor | None,
) -> tuple[Tensor, list[State]] | None:
    """As ``run_joined``; ``torch.compile`` leaves it alone, as it cannot look into engines."""
    members = [member for level in levels for member in level.members]
    if x_BTD.dim() != 3 or x_BTD.shape[2] != members[0].cell.input_size or not x_BTD.numel():
        return None
    if not fits_type(members[0].cell, x_BTD):
        return None
    mask = combined_mask(x_BTD, lengths, mask)
    own_start = all(state is None for state in states)
    at_rest = (
        own_start
        and all(level.at_rest for level in levels)
        and all(type(member.cell).initial_state is Cell.initial_state for member in members)
    )
    plan = plan_together(levels, x_BTD, mask, at_rest=at_rest)
    if plan is None:
        return None
    for member, alone in zip(members, plan.alone, strict=True):
        member.planner.note(alone)
    if mask is not None:
        # a NaN in the padding would turn a zero gradient into NaN
        x_BTD = x_BTD.masked_fill(~mask.unsqueeze(-1), 0.0)
    started: list[State] = []
    for level, state in zip(levels, states, strict=True):
        given = [None] * len(level.start) if state is None else level.split(state)
        started += [start(x_BTD, part) for start, part in zip(level.start, given, strict=True)]
    stack = engines.Stack(
        tuple(tuple(member.cell for member in level.members) for level in levels), at_rest
    )
    run = engines.Sequence(x_BTD, started, mask, reverse=levels[0].reverse)
    output, finals = plan.engine.run_stack(stack, run)
    rest = iter(finals)
    return output, [level.join(*(next(rest) for _ in level.members)) for level in levels]


def draws_noise(cell: Cell) -> bool:
    """Whether a run draws random masks; asked without drawing any."""
    if not cell.training:
        return False
    if type(cell).sample_noise is Cell.sample_noise:
        return cell.option_rates.draw()
    if not isinstance(cell, GatedCell) or type(cell).sample_noise is not GatedCell.sample_noise:
        return True
    rates = (cell.dropout, cell.recurrent_dropout, cell.weight_dropout, *cell.zoneout)
    return any(rates)
