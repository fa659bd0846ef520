"""A layer as cells that one call of an engine may run together with others."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from seqlab.engines.plan_stack import Member
from seqlab.types import State


class Level(NamedTuple):
    """A layer as the cells that may run side by side.

    Attributes:
        members: one cell, or a forward and a backward one, of the same form.
        form: what the cells of one stack have in common.
        reverse: whether the first cell runs from the last step to the first.
        at_rest: whether the layers start from their cells' own initial states.
        start: for each cell what gives its initial state, from the input and a state or None.
        split: the state of each cell from the state of the level.
        join: the level's state from theirs.
    """

    members: tuple[Member, ...]
    form: Hashable
    reverse: bool
    at_rest: bool
    start: tuple[Callable[[Tensor, State | None], State], ...]
    split: Callable[[State], Sequence[State]]
    join: Callable[..., State]

    @property
    def shape(self) -> tuple[Any, ...]:
        """What the levels of one run have in common: form, directions, order of time."""
        return self.form, len(self.members), self.reverse
