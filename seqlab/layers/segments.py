"""Rows that begin anew inside, run as rows of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.cells.base import map_state
from seqlab.engines.over_time import select
from seqlab.errors import EngineError, ShapeError
from seqlab.types import State

#: Input, state and mask of whole rows, to their outputs and final state.
Run = Callable[[Tensor, State, Tensor | None], tuple[Tensor, State]]
#: Segments are padded to so many times the steps that there are; beyond that by like lengths.
MOST_PADDED = 4


class Segments(NamedTuple):
    """The parts of rows between resets, S in all, in the order of rows and time.

    ``row``, ``start`` and ``length`` are ``[S]``.
    """

    row: Tensor
    start: Tensor
    length: Tensor

    def groups(self, batch: int, steps: int) -> Iterator[Tensor]:
        """The numbers of segments that are run together: all, or those of like length."""
        count = len(self.row)
        if count * int(self.length.max()) <= MOST_PADDED * batch * steps:
            yield torch.arange(count, device=self.row.device)
            return
        size = self.length.log2().long()
        for value in sorted(set(size.tolist())):
            yield (size == value).nonzero().squeeze(1)


def check_reset(reset: Tensor, x_BTD: Tensor) -> None:
    """Refuse resets that are not ``[B, T]`` bool, and those in a graph that is being exported."""
    shape = tuple(x_BTD.shape[:2])
    if not isinstance(reset, Tensor) or reset.shape != shape or reset.dtype != torch.bool:
        got = type(reset).__name__
        if isinstance(reset, Tensor):
            got = f"{tuple(reset.shape)} {reset.dtype}"
        raise ShapeError(f"reset must be {shape} bool, got {got}")
    if torch.compiler.is_exporting():
        raise EngineError(
            "reset cannot be exported: how many rows it makes depends on its values; give the "
            "graph these rows one by one"
        )


def find_segments(reset_BT: Tensor) -> Segments:
    """Where the segments begin, and their lengths.

    >>> parts = find_segments(torch.tensor([[False, False, True], [True, False, False]]))
    >>> parts.row.tolist(), parts.start.tolist(), parts.length.tolist()
    ([0, 0, 1], [0, 2, 0], [2, 1, 3])
    """
    begins = reset_BT.clone()
    begins[:, 0] = True
    flat = begins.flatten().nonzero().squeeze(1)
    steps = reset_BT.shape[1]
    length = torch.cat([flat[1:], flat.new_tensor([reset_BT.numel()])]) - flat
    return Segments(flat // steps, flat % steps, length)


@torch.compiler.disable  # type: ignore[untyped-decorator]  # torch's own
def run_segments(
    run: Run,
    x_BTD: Tensor,
    state: State,
    *,
    mask: Tensor | None,
    reset: Tensor,
    fresh: Callable[[int], State],
    reverse: bool,
) -> tuple[Tensor, State]:
    """Run rows that begin anew at their resets; outputs stay where their inputs are.

    Args:
        run: runs whole rows.
        x_BTD: input, T >= 1.
        state: the state that the rows begin with; in reverse it comes in at the last step.
        mask: as for ``Layer.forward``.
        reset: ``[B, T]`` bool, True: nothing before this step counts, nor does what is before it
            see this step.
        fresh: the initial state of so many rows.
        reverse: whether the layer runs from the last step to the first.

    Returns:
        ``[B, T, E]`` and the rows' final state.
    """
    batch, steps = reset.shape
    parts = find_segments(reset)
    firsts = parts.start == 0
    lasts = parts.start + parts.length == steps
    enters = lasts if reverse else firsts & ~reset[parts.row, parts.start]
    before = map_state(
        lambda given, own: select(enters, given.index_select(0, parts.row), own),
        state, fresh(len(parts.row)),
    )  # fmt: skip
    flat_x, flat_mask = x_BTD.flatten(0, 1), None if mask is None else mask.flatten()
    outputs, finals, places, order = [], [], [], []
    for index in parts.groups(batch, steps):
        place, real = _places(parts, index, steps)
        given = map_state(lambda value, index=index: value.index_select(0, index), before)
        seen = real if flat_mask is None else real & flat_mask[place]
        output, final = run(flat_x[place], given, None if bool(seen.all()) else seen)
        outputs.append(output[real])
        finals.append(final)
        places.append(place[real])
        order.append(index)
    values, where = torch.cat(outputs), torch.cat(places).argsort()
    back = torch.cat(order).argsort()[firsts if reverse else lasts]
    final = map_state(lambda *each: torch.cat(each).index_select(0, back), *finals)
    return values.index_select(0, where).view(batch, steps, -1), final


def _places(parts: Segments, index: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Which steps of all rows stand where in padded segments, and which of these are real."""
    length = parts.length[index].unsqueeze(1)
    times = torch.arange(int(length.max()), device=index.device)
    real = times < length
    begin = (parts.row[index] * steps + parts.start[index]).unsqueeze(1)
    return (begin + times).masked_fill(~real, 0), real
