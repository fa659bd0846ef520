"""The layers inside a layer that goes step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from seqlab.cells.base import next_state
from seqlab.engines.over_time import at_time, select
from seqlab.layers.base import Layer, step_with
from seqlab.layers.hooks import run_hooks
from seqlab.layers.recurrent import Recurrent
from seqlab.types import State


class InnerLayers:
    """Steps the layers inside a ``StepLayer``, each with its own random masks.

    What all steps of a run share, such as a recurrent matrix that is made of parameters, is made
    once.

    Args:
        layers: the layers.
        noise: what ``sample_noise`` of each returned, or that ``.at(t)``; None for none.
        mask: ``[B]`` bool, the real rows of the step; None for all.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        noise: Sequence[Any] | None = None,
        mask: Tensor | None = None,
    ) -> None:
        self._layers, self._mask = layers, mask
        for layer in layers:
            if isinstance(layer, Recurrent):
                run_hooks(layer.cell)
        self._noise = dict(zip(layers, noise or [None] * len(layers), strict=True))
        self._steppers: dict[Layer, Callable[..., tuple[Tensor, State]]] = {}

    def at(self, t: int, mask: Tensor | None) -> InnerLayers:
        """The same for step ``t``, with the mask of its rows."""
        here = InnerLayers((), None, mask)
        here._steppers = self._steppers  # of this class
        here._noise = {
            layer: None if own is None else own.at(t) for layer, own in self._noise.items()
        }
        return here

    def step(self, layer: Layer, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        """One step of a layer inside: ``[B, D]`` and its state to ``[B, E]`` and its next state."""
        own = self._noise[layer]
        if not isinstance(layer, Recurrent) or (own is None and not torch.is_grad_enabled()):
            return step_with(layer, x_BD, state, own, self._mask)
        return self.advance(layer, at_time(self.project(layer, x_BD.unsqueeze(1)), 0), state)

    def project(self, layer: Layer, x_BTD: Tensor) -> Any:
        """What of a layer's steps needs their input alone: for a cell, its input product.

        A layer that is no run of one cell has no such part, and this is the input itself.
        """
        if not isinstance(layer, Recurrent):
            return x_BTD
        own = self._noise[layer]
        return layer.cell.project(x_BTD) if own is None else layer.cell.project(x_BTD, own)

    def advance(
        self, layer: Layer, projected_t: Any, state: State, *, multiplied: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """As ``step``, with step t of what ``project`` returned in the place of the input.

        Args:
            layer: one of the layers inside.
            projected_t: step t of ``project``.
            state: the layer's state.
            multiplied: ``[B, H]``: what the recurrent products of a gated cell multiply in the
                place of the state's first field, which its equations go on seeing.
        """
        own = self._noise[layer]
        if not isinstance(layer, Recurrent):
            return step_with(layer, projected_t, state, own, self._mask)
        if layer not in self._steppers:  # engines' own steps need none
            self._steppers[layer] = layer.cell.stepper()
        given: dict[str, Any] = {} if own is None else {"noise": own}
        if multiplied is not None:
            given["multiplied"] = multiplied
        made = self._steppers[layer](projected_t, state, **given)
        output, after = next_state(layer.cell, made, state)
        layer.remember_activity(
            output if self._mask is None else select(self._mask, output, torch.zeros_like(output))
        )
        return output, after
