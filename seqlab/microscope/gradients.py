"""How much of the loss at one step reaches the states k steps before it.

What the loss takes from a layer at step t is its gradient by the output of that step. This part
alone is traced back through the layers, so the numbers of one step are not mixed with those of
others; a loss that is read once, at the end, has one such step a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.microscope.jacobians import Curve
from seqlab.microscope.recording import CellTrace, leaves

#: The most steps of a row from which gradients are traced back.
ANCHORS = 8


class Reading(NamedTuple):
    """What a loss takes from the layers: tensors of their graph, and its gradients by them.

    ``output`` is ``[B, T, E]`` with ``output_gradient`` of the same shape; ``ends`` are pairs for
    what is read from the final states.
    """

    output: Tensor
    output_gradient: Tensor
    ends: Sequence[tuple[Tensor, Tensor]]


def gradient_curves(traces: Sequence[CellTrace], reading: Reading, lengths: Tensor) -> list[Curve]:
    """For each cell the mean norm of the gradient by the state k steps before, over rows and steps.

    Args:
        traces: the cells that led to the reading.
        reading: see there.
        lengths: ``[B]`` real steps.
    """
    sums: list[dict[int, list[float]]] = [{} for _ in traces]
    for anchors, cotangent in _passes(reading.output_gradient):
        _trace_back([(reading.output, cotangent)], traces, sums, anchors, lengths)
    ends = [(tensor, gradient) for tensor, gradient in reading.ends if bool(gradient.any())]
    if ends:
        _trace_back(ends, traces, sums, None, lengths)
    return [
        [(k, sum(values) / len(values)) for k, values in sorted(found.items())] for found in sums
    ]


def _passes(gradient_BTE: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Steps of the rows, ``[B]`` (-1: none), and the gradient at these steps alone."""
    read = gradient_BTE.abs().amax(2) > 0
    steps = [row.nonzero().flatten().tolist() for row in read]
    count = min(ANCHORS, max(map(len, steps), default=0))
    found = []
    for turn in range(count):
        chosen = [_spread(row, count, turn) for row in steps]
        anchors = torch.tensor(chosen)
        cotangent = torch.zeros_like(gradient_BTE)
        rows = (anchors >= 0).nonzero().flatten()
        cotangent[rows, anchors[rows]] = gradient_BTE[rows, anchors[rows]]
        found.append((anchors, cotangent))
    return found


def _spread(steps: list[int], count: int, turn: int) -> int:
    """One of ``count`` steps that lie evenly from the last to the first; -1 if there are fewer."""
    taken = min(count, len(steps))
    if turn >= taken:
        return -1
    return steps[-1 - turn * (len(steps) - 1) // max(1, taken - 1)]


def _trace_back(
    sources: Sequence[tuple[Tensor, Tensor]],
    traces: Sequence[CellTrace],
    sums: list[dict[int, list[float]]],
    anchors: Tensor | None,
    lengths: Tensor,
) -> None:
    """One backward pass; adds the norms at each distance to the sums of the cells."""
    inputs = [[leaves(step.before) for step in trace.steps] for trace in traces]
    wanted = [leaf for steps in inputs for step in steps for leaf in step]
    grads = iter(
        torch.autograd.grad(
            [tensor for tensor, _ in sources], wanted, [cotangent for _, cotangent in sources],
            retain_graph=True, allow_unused=True,
        )
    )  # fmt: skip
    for trace, steps, found in zip(traces, inputs, sums, strict=True):
        norms = [_norm([next(grads) for _ in step], len(lengths)) for step in steps]
        _by_distance(torch.stack(norms, 1), trace, found, anchors, lengths)


def _norm(grads: Sequence[Tensor | None], rows: int) -> Tensor:
    """``[B]``: of all fields of a state together."""
    squares = [grad.detach().flatten(1).square().sum(1) for grad in grads if grad is not None]
    return torch.stack(squares).sum(0).sqrt() if squares else torch.zeros(rows)


def _by_distance(
    norms_BT: Tensor,
    trace: CellTrace,
    found: dict[int, list[float]],
    anchors: Tensor | None,
    lengths: Tensor,
) -> None:
    """Sort the norms, in the order of running, by how far they are from the step that is read."""
    count = norms_BT.shape[1]
    for row, (norms, length) in enumerate(zip(norms_BT.tolist(), lengths.tolist(), strict=True)):
        first = count - length if trace.reverse else 0
        end = first + length - 1
        if anchors is not None:
            if anchors[row] < 0:
                continue
            end = count - 1 - int(anchors[row]) if trace.reverse else int(anchors[row])
        for place in range(first, end + 1):
            found.setdefault(end - place + 1, []).append(norms[place])
