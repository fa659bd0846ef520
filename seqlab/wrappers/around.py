"""A layer around one other layer: all that such layers share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.errors import OptionError
from seqlab.layers.base import Layer, Sides, combined_mask, run_with, step_with
from seqlab.types import Device, DType, State
from seqlab.wrappers.base import require_joined


class Around(Layer):
    """``y_t = combine(x_t, layer(x)_t)``: what is done at each step around one inner layer.

    A subclass writes ``combine``, and ``__init__`` where it has parameters or options. Sizes,
    states, direction of time, masks and streaming are those of the inner layer.

    Args:
        layer: the inner layer; ``combine`` finds it as ``self.layer``.

    Raises:
        OptionError: the layer's two directions are not merged.

    Example:
        >>> import torch, seqlab
        >>> class Doubled(seqlab.Around):
        ...     def combine(self, x, output):
        ...         return 2 * output
        >>> inner = seqlab.GRU(3, 5)
        >>> x = torch.ones(2, 7, 3)
        >>> torch.equal(Doubled(inner)(x)[0], 2 * inner(x)[0])
        True
    """

    layer: Layer

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = require_joined(layer, type(self).__name__)
        self.input_size, self.output_size = layer.input_size, layer.output_size
        self.final_size, self.directions = layer.final_size, layer.directions

    @abstractmethod
    def combine(self, x: Tensor, output: Tensor) -> Tensor:
        """Input ``[..., D]`` and the inner layer's output ``[..., E]`` to ``[..., E]``.

        It is called with all steps at once and, streaming, with one. Steps must not mix, and
        zeros must give zeros: that is what stands at masked steps.
        """

    def forward(
        self,
        x_BTD: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Run the inner layer and combine its output with the input; see ``Layer.forward``."""
        output, final = run_with(self.layer, x_BTD, state, lengths=lengths, mask=mask, reset=reset)
        mask = combined_mask(x_BTD, lengths, mask)
        if mask is not None:
            x_BTD = x_BTD.masked_fill(~mask.unsqueeze(-1), 0.0)
        return self.combine(x_BTD, output), final

    def initial_state(
        self, batch_size: int, *, device: Device = None, dtype: DType = None
    ) -> State:
        """That of the inner layer."""
        return self.layer.initial_state(batch_size, device=device, dtype=dtype)

    def final_output(self, state: State) -> Tensor:
        """That of the inner layer."""
        return self.layer.final_output(state)

    def step(
        self, x_BD: Tensor, state: State, noise: Any = None, mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """One step of the inner layer, combined with its input; see ``Layer.step``."""
        output, final = step_with(self.layer, x_BD, state, noise, mask)
        if mask is not None:
            x_BD = x_BD.masked_fill(~mask.unsqueeze(-1), 0.0)
        return self.combine(x_BD, output), final

    def sample_noise(
        self, batch_size: int, steps: int, *, device: torch.device, dtype: torch.dtype
    ) -> Any:
        """That of the inner layer."""
        return self.layer.sample_noise(batch_size, steps, device=device, dtype=dtype)

    @property
    def reverse(self) -> bool:
        """The direction of the inner layer."""
        return self.layer.reverse

    @property
    def causal(self) -> bool:
        """Whether the inner layer is."""
        return self.layer.causal

    def carried(self, state: State, *, reverse: bool) -> State:
        """That of the inner layer."""
        return self.layer.carried(state, reverse=reverse)

    def sides(self) -> Sides:
        """The layer itself, in the direction that the inner layer is all of; see ``Layer.sides``.

        A pair inside has no such layers: the input is combined with both of them.
        """
        inner = self.layer.sides()
        return Sides(*(self if side is self.layer else None for side in inner))

    def reverse_(self) -> None:
        """Turn the inner layer around, in place."""
        self.layer.reverse_()


def shortcut(layer: Layer, *, project: bool, owner: str) -> nn.Module:
    """What brings a layer's input to its output's width: nothing, or a learned matrix.

    Args:
        layer: the inner layer.
        project: whether a matrix may be used where the widths differ.
        owner: for the message.

    Raises:
        OptionError: the widths differ and ``project`` is False.

    Example:
        >>> import seqlab
        >>> shortcut(seqlab.GRU(3, 5), project=True, owner="Residual")
        Linear(in_features=3, out_features=5, bias=False)
    """
    if layer.input_size == layer.output_size:
        return nn.Identity()
    if not project:
        raise OptionError(
            f"{owner}: the layer takes {layer.input_size} features and gives "
            f"{layer.output_size}; make them equal, or use project=True"
        )
    return nn.Linear(layer.input_size, layer.output_size, bias=False)
