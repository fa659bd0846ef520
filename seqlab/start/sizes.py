"""Weights of another size: how the places of one lie in the other, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from seqlab.cells.gated import GatedCell
from seqlab.layers.base import Layer
from seqlab.model import SequenceModel
from seqlab.start.parts import level_of
from seqlab.wrappers.stacked import Stacked


def overlap(ours: Sequence[int], theirs: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The places along an axis that is made of blocks here and there: the beginning of each block.

    >>> [places.tolist() for places in overlap((3, 3), (2, 2))]
    [[0, 1, 3, 4], [0, 1, 2, 3]]
    """
    here: list[int] = []
    there: list[int] = []
    start = other = 0
    for mine, his in zip(ours, theirs, strict=False):
        shared = min(mine, his)
        here += range(start, start + shared)
        there += range(other, other + shared)
        start, other = start + mine, other + his
    return torch.tensor(here, dtype=torch.long), torch.tensor(there, dtype=torch.long)


def blocks(model: SequenceModel, name: str, axis: int) -> tuple[int, ...]:
    """The blocks of which an axis of a weight is made: gates, or directions side by side."""
    size = int(model.state_dict(keep_vars=True)[name].shape[axis])
    owner = model.get_submodule(name.rpartition(".")[0])
    kind = name.rpartition(".")[2]
    if isinstance(owner, GatedCell):
        hidden = owner.hidden_size
        if axis == 0 and size > hidden and size % hidden == 0:
            return (hidden,) * (size // hidden)
        if axis == 1 and kind == "weight_ih":
            return _of(_directions_below(model, name), size)
    if isinstance(owner, nn.Linear) and axis == 1 and name.startswith("head."):
        return _of(model.encoder.info.directions, size)
    return (size,)


def _of(widths: Sequence[int], size: int) -> tuple[int, ...]:
    """Widths that lie side by side, once or several times; else one block."""
    whole = sum(widths)
    if not whole or size % whole:
        return (size,)
    return tuple(width for width in widths if width) * (size // whole)


def _directions_below(model: SequenceModel, name: str) -> tuple[int, ...]:
    """The directions of the layer whose output a cell of a stack reads."""
    level = level_of(model, name)
    for stack, layers in _stacks(model):
        if level and name.startswith(f"{stack}."):
            below = layers[level - 1]
            return tuple(below.directions) if isinstance(below, Layer) else ()
    return ()


def _stacks(model: SequenceModel) -> Iterator[tuple[str, nn.ModuleList]]:
    for name, module in model.named_modules():
        if isinstance(module, Stacked):
            yield name, module.layers
