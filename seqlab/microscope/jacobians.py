"""How a small change of a state changes later states: products of step Jacobians.

    J_t = d state_t / d state_{t-1}
    P_k = J_T J_{T-1} ... J_{T-k+1} = d state_T / d state_{T-k}

The largest singular value of ``P_k`` is how much a change can grow in k steps; where it falls like
``r^k``, the gradient vanishes (Hochreiter, 1991; Bengio et al., 1994; Pascanu et al., 2013).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqlab.cells.base import Cell, map_state, next_state
from seqlab.microscope.recording import CellTrace, Step, flat, leaves
from seqlab.types import State

#: Rows of one call: a state is repeated once for each of its numbers.
_ROWS = 4096
#: Wider states take too long for exact Jacobians.
WIDEST = 768
#: Up to this distance every product is measured, then fewer and fewer.
_ALL = 12
_DISTANCES = 48

#: The largest exponent of which there is a float.
_LARGEST = 709.0

#: Distance and value.
Curve = list[tuple[int, float]]


class Growth(NamedTuple):
    """Curves by the distance k between two states, of one row.

    ``state`` is the spectral norm of ``d state_T / d state_{T-k}``, ``output`` the root of the
    mean square norm of the gradient of one number of the last output by ``state_{T-k}``. They end
    before the first distance at which one of them has no finite value.
    """

    state: Curve
    output: Curve


def distances(longest: int) -> list[int]:
    """Where curves are measured: all the first steps, then evenly on a logarithmic scale.

    >>> distances(5), distances(1000)[-1], len(distances(1000)) <= 48
    ([1, 2, 3, 4, 5], 1000, True)
    """
    if longest <= _ALL:
        return list(range(1, longest + 1))
    count = _DISTANCES - _ALL
    ratio = (longest / _ALL) ** (1 / count)
    rest = (round(_ALL * ratio**i) for i in range(1, count + 1))
    return list(dict.fromkeys([*range(1, _ALL + 1), *rest]))


def step_jacobians(cell: Cell, steps: Sequence[Step], row: int) -> tuple[Tensor, Tensor]:
    """The Jacobians of recorded steps of one row of the batch.

    Each row of a batch runs by itself, so a state that is repeated for each number of what comes
    out gives all rows of a Jacobian in one backward pass.

    Returns:
        ``[n, S, S]``, of the state after each step by the state before it, and ``[n, E, S]``, of
        its output.
    """
    width = flat(steps[0].before).shape[1]
    size = max(1, _ROWS // max(width, steps[0].output.shape[1]))
    parts = [_jacobian(cell, steps[i : i + size], row) for i in range(0, len(steps), size)]
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def _jacobian(cell: Cell, steps: Sequence[Step], row: int) -> tuple[Tensor, Tensor]:
    def of_row(*tensors: Tensor) -> Tensor:
        return torch.stack([tensor[row].detach() for tensor in tensors])

    state = map_state(of_row, *(step.before for step in steps))
    projected = map_state(of_row, *(step.projected for step in steps))
    with torch.enable_grad():
        return (
            _rows_of(cell, projected, state, output=False),
            _rows_of(cell, projected, state, output=True),
        )


def _rows_of(cell: Cell, projected: Any, state: State, *, output: bool) -> Tensor:
    """``[n, width, S]``: the gradient of each number of what comes out of each step."""
    width = cell.output_size if output else flat(state).shape[1]
    before = map_state(lambda t: t.repeat_interleave(width, 0).requires_grad_(), state)
    repeated = map_state(lambda t: t.repeat_interleave(width, 0), projected)
    out, after = next_state(cell, cell.step(repeated, before), before)
    values = (out if output else flat(after)).view(-1, width, width)
    inputs = leaves(before)
    grads = torch.autograd.grad(
        values.diagonal(dim1=1, dim2=2).sum(), inputs, allow_unused=True, materialize_grads=True
    )
    return flat(grads).view(len(values), width, -1)


def growth(trace: CellTrace, row: int, length: int) -> Growth:
    """The curves of one row of the batch, back from its last real step.

    Args:
        trace: of a cell.
        row: of the batch.
        length: the real steps of the row.
    """
    first = len(trace.steps) - length if trace.reverse else 0
    steps = trace.steps[first : first + length]
    state_J, output_J = step_jacobians(trace.cell, steps, row)
    wanted = set(distances(length))
    state, output = _Product(None), _Product(output_J[-1])
    curves = Growth([], [])
    for k in range(1, length + 1):
        if k > 1:
            output.times(state_J[-k])
        state.times(state_J[-k])
        if k in wanted:
            sizes = state.norm(2), output.norm("fro") / math.sqrt(output_J.shape[1])
            if not all(map(math.isfinite, sizes)):
                break
            curves.state.append((k, sizes[0]))
            curves.output.append((k, sizes[1]))
    return curves


class _Product:
    """A product of matrices whose size is kept apart, so that it neither vanishes nor overflows."""

    def __init__(self, start: Tensor | None) -> None:
        self.matrix, self.log = start, 0.0

    def times(self, other: Tensor) -> None:
        """Multiply from the right."""
        self.matrix = other if self.matrix is None else self.matrix @ other
        size = float(self.matrix.abs().max())
        if 0 < size < math.inf:
            self.matrix, self.log = self.matrix / size, self.log + math.log(size)

    def norm(self, kind: Any) -> float:
        """The spectral norm (2) or the Frobenius norm (fro)."""
        if self.matrix is None:
            return 1.0
        if not bool(self.matrix.isfinite().all()):
            return math.inf
        value = float(torch.linalg.matrix_norm(self.matrix, kind))
        if value == 0:
            return 0.0
        size = self.log + math.log(value)
        return math.exp(size) if size < _LARGEST else math.inf
