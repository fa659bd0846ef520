"""Layers and models on the CPU and on a GPU, compared."""

from __future__ import annotations

import copy
from typing import Any

import seqlab
import torch
from seqlab.cells.base import map_state
from seqlab.heads.states import leaves
from seqlab.layers.base import Layer
from seqlab.testing.sample import (
    Ran,
    holey_mask,
    normal,
    padded_mask,
    parts_of,
    random_state,
    run_with_gradients,
    shaken,
)
from torch import Tensor

B, T, D, H = 5, 9, 4, 6
MASKS: dict[str, Tensor | None] = {
    "whole": None,
    "padded": padded_mask([9, 0, 3, 1, 7], T),
    "holes": holey_mask(B, T),
}


def cell_layer(name: str, *, engine: str = "loop", reverse: bool = False, **options: Any) -> Layer:
    """A cell in float64 without symmetries, run over time."""
    cell = seqlab.get("cell", name)(D, H, **options)
    return shaken(seqlab.Recurrent(cell, engine=engine, reverse=reverse).double().eval())


def by_engine(layer: Layer, engine: str) -> Layer:
    """A copy in which one engine runs every cell."""
    made = copy.deepcopy(layer)
    for part in made.modules():
        if isinstance(part, seqlab.Recurrent):
            part.engine = engine
    return made


def moved(value: Any, device: torch.device) -> Any:
    """A state or noise on another device."""
    if isinstance(value, Tensor):
        return value.detach().to(device)
    if not isinstance(value, tuple):
        return value
    parts = [moved(part, device) for part in value]
    return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)


def assert_same_run(layer: Layer, device: torch.device, *, engine: str = "auto") -> None:
    """Outputs, states and gradients with every mask: by the loop on the CPU, by an engine there."""
    here, there = by_engine(layer, "loop"), by_engine(layer, engine).to(device)
    x = normal(B, T, layer.input_size, seed=3)
    states = [None]
    if layer.causal or isinstance(layer, seqlab.Recurrent):
        states.append(random_state(here, B))
    for kind, mask in MASKS.items():
        for state in states:
            expected = run_with_gradients(here, x, state, mask)
            found = run_with_gradients(
                there,
                x.to(device),
                None if state is None else map_state(lambda t: t.to(device), state),
                None if mask is None else mask.to(device),
            )
            assert_same(found, expected, device, kind)


def assert_same(found: Ran, expected: Ran, device: torch.device, what: str) -> None:
    """Both runs gave the same numbers, the first of them on the device."""
    pairs = list(zip(parts_of(found.output), parts_of(expected.output), strict=True))
    pairs += zip(leaves(found.state), leaves(expected.state), strict=True)
    for name, gradient in expected.gradients.items():
        ours = found.gradients[name]
        assert (ours is None) == (gradient is None), f"{what}: gradient of {name}"
        if gradient is not None:
            pairs.append((ours, gradient))
    for ours, reference in pairs:
        assert ours.device.type == device.type
        torch.testing.assert_close(ours.cpu(), reference, msg=f"{what}: {{}}".format)
