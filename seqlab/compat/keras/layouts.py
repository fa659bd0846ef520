"""A cell's weights as Keras lays them out: ``kernel [D, G*H]``, ``recurrent_kernel``, ``bias``.

Keras holds the transposed matrices, a GRU's gates in the order update, reset, candidate, and two
biases as the rows of one ``[2, G*H]`` array. Nothing is computed: both ways are lossless.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqlab.cells.base import Cell
from seqlab.cells.gated import GatedCell
from seqlab.cells.gru import GRUCell
from seqlab.errors import ShapeError

_FIRST = ("weight_ih", "weight_hh", "bias", "recurrent_bias")


def _order(cell: GatedCell) -> tuple[str, ...]:
    return ("update", "reset", "candidate") if isinstance(cell, GRUCell) else cell.gates


def _permute(tensor: Tensor, size: int, source: Sequence[str], target: Sequence[str]) -> Tensor:
    """Blocks of ``size`` rows, from the order ``source`` to the order ``target``."""
    if tuple(source) == tuple(target):
        return tensor
    blocks = dict(zip(source, torch.split(tensor, size), strict=True))
    return torch.cat([blocks[gate] for gate in target])


def _rest(cell: Cell) -> list[tuple[str, Tensor]]:
    """Parameters that Keras does not know, as they are."""
    known = _FIRST if isinstance(cell, GatedCell) else ()
    return [(name, value) for name, value in cell.named_parameters() if name not in known]


def keras_weights(cell: Cell) -> dict[str, Tensor]:
    """Copies of a cell's weights in Keras's layout and order."""
    found: dict[str, Tensor] = {}
    if isinstance(cell, GatedCell):

        def ordered(rows: Tensor) -> Tensor:
            return _permute(rows.detach().clone(), cell.hidden_size, cell.gates, _order(cell))

        found["kernel"] = ordered(cell.weight_ih).T.contiguous()
        found["recurrent_kernel"] = ordered(cell.weight_hh).T.contiguous()
        if cell.bias is not None:
            found["bias"] = ordered(cell.bias)
        if cell.bias is not None and cell.recurrent_bias is not None:
            found["bias"] = torch.stack([ordered(cell.bias), ordered(cell.recurrent_bias)])
    return {**found, **{name: value.detach().clone() for name, value in _rest(cell)}}


@torch.no_grad()
def assign_keras_weights(cell: Cell, weights: Sequence[Tensor]) -> None:
    """Copy weights in Keras's layout and order, of checked shapes, into a cell."""
    values = iter(weights)
    if isinstance(cell, GatedCell):

        def ordered(rows: Tensor) -> Tensor:
            return _permute(rows, cell.hidden_size, _order(cell), cell.gates)

        cell.weight_ih.copy_(ordered(next(values).T))
        cell.weight_hh.copy_(ordered(next(values).T))
        if cell.bias is not None:
            bias = next(values)
            if cell.recurrent_bias is None:
                cell.bias.copy_(ordered(bias))
            else:
                cell.bias.copy_(ordered(bias[0]))
                cell.recurrent_bias.copy_(ordered(bias[1]))
    for (_, parameter), value in zip(_rest(cell), values, strict=True):
        parameter.copy_(value)


def get_arrays(cells: Sequence[Cell]) -> list[np.ndarray[Any, Any]]:
    """The weights of several cells, one after the other, as arrays."""
    return [w.cpu().numpy() for cell in cells for w in keras_weights(cell).values()]


def set_arrays(cells: Sequence[Cell], arrays: Sequence[Any], owner: str) -> None:
    """Set the weights of several cells; nothing is changed unless all shapes fit.

    Raises:
        ShapeError: another number of arrays, or one of another shape; both are named.
    """
    layouts = [keras_weights(cell) for cell in cells]
    wanted = [(name, value) for layout in layouts for name, value in layout.items()]
    given = [torch.as_tensor(np.asarray(a) if not isinstance(a, Tensor) else a) for a in arrays]
    if len(given) != len(wanted):
        raise ShapeError(
            f"{owner}: needs {len(wanted)} weights ({', '.join(n for n, _ in wanted)}), "
            f"got {len(given)}"
        )
    for index, ((name, target), value) in enumerate(zip(wanted, given, strict=True)):
        if target.shape != value.shape:
            raise ShapeError(
                f"{owner}: weights[{index}] ({name}) must be {tuple(target.shape)}, "
                f"got {tuple(value.shape)}"
            )
    for cell, layout in zip(cells, layouts, strict=True):
        assign_keras_weights(cell, given[: len(layout)])
        given = given[len(layout) :]
