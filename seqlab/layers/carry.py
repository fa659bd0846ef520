"""The state of a layer between the chunks of rows."""

from __future__ import annotations

from torch import Tensor

from seqlab.cells.base import leaves, map_state
from seqlab.layers.base import Layer
from seqlab.types import Batch, Reads, State


def reads(layer: Layer) -> Reads:
    """The direction of time in which all of a layer runs, or both."""
    sides = layer.sides()
    if sides.forward is layer:
        return "forward"
    return "backward" if sides.backward is layer else "both"


class Carry:
    """Hands the final state of a chunk to the next chunk of the same rows, without its gradient.

    Args:
        layer: whose state it is. Chunks come from the last to the first where all of it runs
            backward; of one that runs both ways the backward part begins anew in each.
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self._state: State | None = None

    def before(self, batch: Batch) -> State | None:
        """The state that a batch begins with; None for the initial state."""
        if batch.starts is not False or self._state is None:
            return None
        return self.layer.carried(self._state, reverse=reads(self.layer) == "backward")

    def keep(self, state: State) -> None:
        """Keep the final state of a batch."""
        self._state = map_state(Tensor.detach, state)

    def tensors(self) -> list[Tensor]:
        """What is kept, for a checkpoint; empty for nothing."""
        return [] if self._state is None else leaves(self._state)

    def restore(self, tensors: list[Tensor]) -> None:
        """Take back what ``tensors`` gave."""
        if not tensors:
            self._state = None
            return
        kept = iter(tensors)
        like = self.layer.initial_state(tensors[0].shape[0])
        self._state = map_state(lambda part: next(kept).to(part.device), like)
