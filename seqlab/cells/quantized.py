"""Weights of eight bits: whole numbers from -127 to 127, times a scale for each row of a matrix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

from seqlab.cells.gated import GatedCell
from seqlab.errors import OptionError

#: The largest whole number.
MOST = 127
_MATRICES = ("weight_ih", "weight_hh")
Module = TypeVar("Module")


@torch.no_grad()
def quantize(module: Module) -> Module:
    """Round the matrices of all gated cells in a module to eight bits, in place.

    Row ``w`` of a matrix becomes ``s round(w / s)`` with ``s = max|w| / 127``: symmetric rounding
    to the nearest, weights only (as in Jacob et al., "Quantization and training of neural networks
    for efficient integer-arithmetic-only inference", 2018). The weights stay ordinary parameters,
    so every engine and export gives the rounded model's numbers, and a bundle (``save_bundle``,
    ``seqlab convert bits=8``) stores them as bytes. Steps of a stream with
    ``engine="compiled"`` keep such matrices as bytes, a quarter of the memory that each step reads.

    >>> import seqlab
    >>> layer = seqlab.quantize(seqlab.GRU(3, 4))
    >>> layer.cell.weight_hh[0].unique().numel() <= 255
    True

    Args:
        module: a layer, a model, what ``seqlab.load`` returns, or anything that has gated cells
            inside.

    Returns:
        What was given. Doing it again changes nothing.

    Raises:
        OptionError: it has no modules.
    """
    inside = getattr(module, "model", None)
    whole = inside if isinstance(inside, nn.Module) else module
    if not isinstance(whole, nn.Module):
        raise OptionError(
            f"quantize needs a layer, a model or what seqlab.load returns, got "
            f"{type(module).__name__}"
        )
    for _, weight in _matrices(whole):
        scale = _scale(weight)
        weight.copy_(scale * (weight / scale).round())
    return module


def _matrices(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The matrices of all gated cells in a module, each under its first name."""
    for place, cell in module.named_modules():
        if isinstance(cell, GatedCell):
            for name in _MATRICES:
                weight = getattr(cell, name)
                if weight is not None:
                    yield f"{place}.{name}".removeprefix("."), weight


def quantized_names(module: nn.Module) -> list[str]:
    """The state dict's names of matrices that ``quantize`` has rounded; none unless all are."""
    shared = {id(weight) for _, weight in _matrices(module)}
    if not shared or any(scales_of(weight) is None for _, weight in _matrices(module)):
        return []
    state = module.state_dict(keep_vars=True)
    return [name for name, value in state.items() if id(value) in shared]


def scales_of(weight: Tensor | None) -> Tensor | None:
    """``[rows]``: the scales of a matrix that ``quantize`` has rounded; None for any other."""
    if weight is None or not weight.is_floating_point() or weight.numel() == 0:
        return None
    scale = _scale(weight)
    return scale.squeeze(1) if torch.equal(scale * (weight / scale).round(), weight) else None


def _scale(weight: Tensor) -> Tensor:
    """``[rows, 1]``, with so few binary digits that its multiples are exact."""
    largest = weight.detach().abs().amax(1, keepdim=True)
    fraction, exponent = torch.frexp(largest / MOST)
    # up: rounded down, the largest would need more than MOST
    short = torch.ldexp((fraction * 2**12).ceil(), exponent - 12)
    return torch.where(largest > 0, short, torch.ones_like(short))
