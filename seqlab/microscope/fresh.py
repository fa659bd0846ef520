"""The vanishing gradient of cells that nobody has trained: every cell against the same inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from seqlab.cells.base import Cell
from seqlab.errors import OptionError
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

    Raises:
        OptionError: the states or the gradients grow beyond the range of floats.
    """
    layer = copy_of(Recurrent(cell))
    with torch.no_grad(), recorded(layer) as (trace,):
        layer(x_BTD.double())
    rows, steps = x_BTD.shape[:2]
    finite = int(trace.states().isfinite().all(2).all(0).cumprod(0).sum())
    if finite < steps:
        raise _beyond("state", f"at step {finite + 1:,} of {steps:,}")
    curves = [growth(trace, row, steps) for row in range(rows)]
    nearest = min((curve.output[-1][0] if curve.output else 0) for curve in curves)
    if nearest < steps:
        raise _beyond("gradient", f"more than {nearest:,} of {steps:,} steps back")
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

    Raises:
        OptionError: see ``gradients_of``; the message names the cell.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        x_BTD = torch.randn(rows, length, hidden_size)
        found = {}
        for name, make in cells.items():
            torch.manual_seed(seed)
            cell = make(hidden_size, hidden_size)
            try:
                found[name] = gradients_of(cell, x_BTD)
            except OptionError as error:
                raise OptionError(f"{name}: {error}") from error
    return found


def _beyond(what: str, where: str) -> OptionError:
    return OptionError(
        f"the {what} grows beyond the range of numbers {where}; give a smaller length=, or options "
        "by which it grows less"
    )
