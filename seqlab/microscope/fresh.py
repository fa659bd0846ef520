"""The vanishing gradient of cells that nobody has trained: every cell against the same inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from seqlab.cells.base import Cell
from seqlab.layers.recurrent import Recurrent
from seqlab.microscope.jacobians import growth
from seqlab.microscope.layers import memory, rounded
from seqlab.microscope.memory import mean_curve
from seqlab.microscope.recording import copy_of, flat, recorded
from seqlab.microscope.units import gate_statistics, unit_statistics


def gradients_of(cell: Cell, x_BTD: Tensor) -> dict[str, Any]:
    """How far the gradient reaches back in one cell, from the last step of a batch of sequences.

    Args:
        cell: as it was drawn.
        x_BTD: inputs of its width.

    Returns:
        JSON-able: ``gradient``, pairs of distance and the root mean square norm of the gradient of
        one number of the last output by the state so many steps before; ``jacobian``, the spectral
        norm between states; ``memory`` of the first, ``gates`` and ``units``.
    """
    layer = copy_of(Recurrent(cell))
    with torch.no_grad(), recorded(layer) as (trace,):
        layer(x_BTD.double())
    rows, steps = x_BTD.shape[:2]
    curves = [growth(trace, row, steps) for row in range(rows)]
    output = mean_curve(curve.output for curve in curves)
    state = mean_curve(curve.state for curve in curves)
    mask = torch.ones(rows, steps, dtype=torch.bool)
    return {
        "parameters": sum(p.numel() for p in cell.parameters()),
        "state_size": flat(cell.initial_state(1)).shape[1],
        "gradient": rounded(output),
        "memory": memory(output),
        "jacobian": {"norm": rounded(state), **memory(state)},
        "gates": {name: gate_statistics(v, mask) for name, v in trace.gates().items()},
        "units": unit_statistics(trace.outputs(), mask),
    }


def compare_fresh(
    cells: Mapping[str, Any], *, length: int, hidden_size: int, rows: int, seed: int
) -> dict[str, dict[str, Any]]:
    """``gradients_of`` for each cell, with equal inputs and an equal seed.

    Args:
        cells: a name to a function from input size and hidden size to the cell.
        length: of the sequences of standard normal numbers.
        hidden_size: H, which is the width of the input too.
        rows: sequences; the curves are means over them.
        seed: of inputs and weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        x_BTD = torch.randn(rows, length, hidden_size)
        found = {}
        for name, make in cells.items():
            torch.manual_seed(seed)
            found[name] = gradients_of(make(hidden_size, hidden_size), x_BTD)
    return found
