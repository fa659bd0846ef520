"""One step at a time, constant memory, equal to the run over the whole sequence."""

from __future__ import annotations

from torch import Tensor

from seqlab.engines.calls import coming_calls
from seqlab.errors import ShapeError
from seqlab.layers.base import Layer, refuse_streaming
from seqlab.types import State

#: The steps that a stream announces: it has no end, and whoever opens one takes many.
MANY = 100_000


class Stream:
    """A layer with its running state.

    Attributes:
        layer: the layer, shared, not copied.
        state: the state after the last step; None before the first.
    """

    def __init__(self, layer: Layer) -> None:
        if not layer.causal:
            raise refuse_streaming(type(layer).__name__)
        self.layer = layer
        self.state: State | None = None

    def step(self, x_BD: Tensor) -> tuple[Tensor, State]:
        """One step: ``[B, D]`` to ``[B, E]`` and the state after it.

        Raises:
            ShapeError: the input is not ``[B, D]``.
            EngineError: a part of the layer runs backward in time.
        """
        if x_BD.dim() != 2 or x_BD.shape[1] != self.layer.input_size:
            raise ShapeError(
                f"stream: one step must be [B, {self.layer.input_size}], got {tuple(x_BD.shape)}"
            )
        if self.state is None:
            return self._first(x_BD)
        output, self.state = self.layer.step(x_BD, self.state)
        return output, self.state

    def _first(self, x_BD: Tensor) -> tuple[Tensor, State]:
        """The step that chooses engines, as those after it go on with its choice."""
        state = self.layer.initial_state(x_BD.shape[0], device=x_BD.device)
        with coming_calls(MANY):
            output, self.state = self.layer.step(x_BD, state)
        return output, self.state

    def reset(self, state: State | None = None) -> None:
        """Start anew, from the initial state or from the one given."""
        self.state = state


def stream(layer: Layer) -> Stream:
    """A stream over a layer.

    Without gradients, gated cells step fastest by the engine that compiles them, which packs their
    matrices once for all steps, and again when a parameter changes. It sees that by torch's count
    of changes, which writing through ``parameter.data`` leaves alone. ``engine="auto"`` takes that
    engine where its code lies in the cache already, from an earlier process or another layer. Else
    the steps so far must have lost twice what compiling takes; then it is compiled in a thread
    beside the stream. A stream waits for a compiler only where that engine was asked for by name.

    >>> import torch, seqlab
    >>> layer = seqlab.GRU(2, 3).eval()
    >>> x = torch.randn(1, 4, 2)
    >>> running = seqlab.stream(layer)
    >>> steps = torch.stack([running.step(x[:, t])[0] for t in range(4)], 1)
    >>> torch.allclose(steps, layer(x)[0], atol=1e-6)
    True
    """
    return Stream(layer)
