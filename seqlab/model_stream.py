"""A whole model one step at a time: embedding, layer and head, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from seqlab.errors import EngineError
from seqlab.heads.base import Head
from seqlab.layers.base import Layer
from seqlab.layers.stream import Stream
from seqlab.types import State


class ModelStream:
    """A model with its running state; its steps equal the run over whole rows, in inference mode.

    Attributes:
        state: the encoder's state after the last step; None before the first.

    Args:
        read: an encoder's features of one step, to what its layer is given.
        layer: the encoder's layer.
        head: the head.

    Raises:
        EngineError: the layer needs the future, or the head a row's end; the message says why.
    """

    def __init__(
        self, read: Callable[[Mapping[str, Tensor]], Tensor], layer: Layer, head: Head
    ) -> None:
        refusal = head.refuses_steps()
        if refusal is not None:
            raise EngineError(f"this model cannot be streamed: {refusal}")
        self._read, self._score, self._stream = read, head.step_scorer(), Stream(layer)

    @property
    def state(self) -> State | None:
        """The encoder's state."""
        return self._stream.state

    def step(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Read one step of B rows.

        Args:
            inputs: feature name to ids ``[B]`` or numbers ``[B, D]``.

        Returns:
            The head's scores after this step, ``[B, ...]``: of labels before the softmax, or the
            log probabilities of what comes next.
        """
        if torch.is_grad_enabled():
            # quicker than a block of no_grad
            torch.set_grad_enabled(False)
            try:
                return self._score(self._stream.step(self._read(inputs))[0])
            finally:
                torch.set_grad_enabled(True)
        return self._score(self._stream.step(self._read(inputs))[0])

    def reset(self, state: State | None = None) -> None:
        """Start anew, from the initial state or from the one given."""
        self._stream.reset(state)
