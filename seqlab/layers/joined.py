"""Layers side by side and on top of each other in one run of the vendor's kernel.

A layer describes itself as a level: one cell, or a forward and a backward one. Levels of one kind
with nothing between them, whose layers the planner would all give to ``fused``, are run together;
in every other case each layer runs by itself. Both ways give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from seqlab.cells.base import Cell
from seqlab.cells.gated import GatedCell
from seqlab.engines.fused.cell_stack import Kind, joins_masked, kind_of, run_levels
from seqlab.engines.plan import Plan, choose, note_call
from seqlab.layers.base import Layer, combined_mask
from seqlab.types import State

if TYPE_CHECKING:
    from seqlab.layers.recurrent import Recurrent


class Level(NamedTuple):
    """A layer as the cells that may run side by side.

    ``layers``: one, or the forward and the backward one, of the same kind. ``split`` gives the
    state of each from the state of the level, ``join`` the level's from theirs.
    """

    layers: tuple[Recurrent, ...]
    kind: Kind
    split: Callable[[State], Sequence[State]]
    join: Callable[..., State]

    @property
    def form(self) -> tuple[Kind, int, bool]:
        """What the levels of one run have in common: kind, directions, order of time."""
        return self.kind, len(self.layers), self.layers[0].reverse


def single(layer: Recurrent) -> Level | None:
    """The level of one recurrent layer; None if it must run by itself."""
    cell = layer.cell
    remembers = getattr(cell, "activity_regularizer", None) is not None and layer.training
    if layer.masked_output != "zeros" or remembers or _draws(cell):
        return None
    kind = kind_of(cell)
    return None if kind is None else Level((layer,), kind, lambda s: (s,), lambda s: s)


def side_by_side(
    forward: Layer,
    backward: Layer,
    split: Callable[[State], Sequence[State]],
    join: Callable[..., State],
) -> Level | None:
    """The level of a pair; None if its layers cannot run in one call."""
    first, second = forward.level(), backward.level()
    if first is None or second is None or first.kind != second.kind:
        return None
    if len(first.layers) + len(second.layers) != 2 or forward.reverse == backward.reverse:
        return None
    return Level((*first.layers, *second.layers), first.kind, split, join)


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
    for form, group in groupby(described, lambda pair: pair[1] and pair[1].form):
        parts = list(group)
        if form is None:
            found += [([layer], []) for layer, _ in parts]
        else:
            found.append(([la for la, _ in parts], [le for _, le in parts if le is not None]))
    return found


def plans_together(
    levels: Sequence[Level], x_BTD: Tensor, *, masked: bool, at_rest: bool
) -> list[Plan] | None:
    """The plan of every layer, where all give their cell to ``fused`` and so run together.

    None where one does not, and for a single cell, which is a run of its own.
    """
    if sum(len(level.layers) for level in levels) < 2:
        return None
    kind, directions, _ = levels[0].form
    if masked and not joins_masked(kind, directions, x_BTD, at_rest=at_rest):
        return None
    source, plans = x_BTD, []
    for level in levels:
        for layer in level.layers:
            plan = choose(layer.engine, layer.cell, source, None, masked=masked)
            if plan.engine.name != "fused":
                return None
            plans.append(plan)
        width = sum(layer.output_size for layer in level.layers)
        # the planner looks at the shape alone
        source = x_BTD[..., :1].expand(-1, -1, width)
    return plans


def run_joined(
    levels: Sequence[Level],
    x_BTD: Tensor,
    states: Sequence[State | None],
    lengths: Tensor | None,
    mask: Tensor | None,
) -> tuple[Tensor, list[State]] | None:
    """Run the levels together; None where they do not, and each layer must run by itself.

    Args:
        levels: from the input to the output, all of one form.
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
    layers = [layer for level in levels for layer in level.layers]
    if x_BTD.dim() != 3 or x_BTD.shape[2] != layers[0].input_size or not x_BTD.numel():
        return None
    mask = combined_mask(x_BTD, lengths, mask)
    own_start = all(state is None for state in states)
    at_rest = own_start and all(
        type(layer.cell).initial_state is Cell.initial_state for layer in layers
    )
    plans = plans_together(levels, x_BTD, masked=mask is not None, at_rest=at_rest)
    if plans is None:
        return None
    for layer, plan in zip(layers, plans, strict=True):
        note_call(plan, layer.cell)
    if mask is not None:
        # a NaN in the padding would turn a zero gradient into NaN
        x_BTD = x_BTD.masked_fill(~mask.unsqueeze(-1), 0.0)
    given: list[State | None] = [None] * len(layers)
    if not own_start:
        given = []
        for level, state in zip(levels, states, strict=True):
            given += [None] * len(level.layers) if state is None else level.split(state)
    started = [layer.start(x_BTD, part) for layer, part in zip(layers, given, strict=True)]
    output, finals = run_levels(
        [[_gated(layer.cell) for layer in level.layers] for level in levels],
        x_BTD, started, mask, reverse=levels[0].layers[0].reverse, at_rest=at_rest,
    )  # fmt: skip
    rest = iter(finals)
    return output, [level.join(*(next(rest) for _ in level.layers)) for level in levels]


def _gated(cell: Any) -> GatedCell:
    gated: GatedCell = cell
    return gated


def _draws(cell: Cell) -> bool:
    """Whether a run draws random masks; asked without drawing any."""
    if not cell.training:
        return False
    if not isinstance(cell, GatedCell) or type(cell).sample_noise is not GatedCell.sample_noise:
        return True
    rates = (cell.dropout, cell.recurrent_dropout, cell.weight_dropout, *cell.zoneout)
    return any(rates)
