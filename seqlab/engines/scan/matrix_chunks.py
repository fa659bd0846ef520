"""Matrix recurrences by chunks of steps: matrix products inside a chunk, one state between two.

Inside a chunk ``exp(F_t - F_s)`` is what is left at step t of a write at step s <= t, F being the
sum of the decays' logarithms: never above 1, so nothing overflows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqlab.cells.around import OptionNoise
from seqlab.cells.matrix import MatrixInput, MatrixStateCell
from seqlab.engines.scan.matrix_rows import replaced, run_rows
from seqlab.types import State

#: Steps of a chunk, also where each row of the matrix has a decay of its own.
STEPS, STEPS_BY_ROW = 64, 16


class Carried(NamedTuple):
    """The state between two chunks; the stabiliser is 0 for cells without."""

    memory: Tensor
    stabiliser: Tensor


def run_chunks(
    cell: MatrixStateCell, x_BTD: Tensor, state: Any, mask: Tensor | None, *, reverse: bool,
    noise: OptionNoise | None = None,
) -> tuple[Tensor, State]:  # fmt: skip
    """All steps of a matrix recurrence without zoneout.

    Args:
        cell: the cell.
        x_BTD: the input.
        state: the state before the first step.
        mask: ``[B, T]`` bool, True = real, or None.
        reverse: from the last step to the first.
        noise: the mask of the input.
    """
    if reverse:
        x_BTD, mask = x_BTD.flip(1), None if mask is None else mask.flip(1)
    made = cell.project(x_BTD) if noise is None else cell.project(x_BTD, noise)
    if mask is not None:
        made = _masked(made, mask)
    memory = state.memory
    stabiliser = state.stabiliser if cell.exponential else memory.new_zeros(memory.shape[:2])
    # heads before steps, as matrix products need them
    parts = [part.transpose(1, 2) for part in made[1:]]
    if made.log_decay.shape[-1] > 1:
        query, key, value, log_decay, log_input, rate = parts
        rows = (query, key, value, log_decay, rate)
        y, memory = run_rows(rows, memory, STEPS_BY_ROW, delta=cell.delta)
        stabilisers, carried = torch.zeros_like(log_input), Carried(memory, stabiliser)
    else:
        y, stabilisers, carried = _run_heads(cell, parts, Carried(memory, stabiliser))
    y, stabilisers = y.transpose(1, 2), stabilisers.transpose(1, 2)
    output = cell.readout(made.x, y, stabilisers)
    hidden = _last(output, mask, state.hidden)
    if mask is not None:
        output = output.masked_fill(~mask.unsqueeze(-1), 0.0)
    return output.flip(1) if reverse else output, cell.State(hidden, *carried[: len(state) - 1])


def _masked(made: MatrixInput, mask: Tensor) -> MatrixInput:
    """Masked steps write nothing and let nothing fade."""
    gone = ~mask.view(*mask.shape, 1)
    return made._replace(
        key=made.key.masked_fill(gone.unsqueeze(-1), 0.0),
        log_decay=made.log_decay.masked_fill(gone.unsqueeze(-1), 0.0),
        log_input=made.log_input.masked_fill(gone, -torch.inf),
        rate=made.rate.masked_fill(gone, 0.0),
    )


def _last(output_BTE: Tensor, mask: Tensor | None, before: Tensor) -> Tensor:
    """The output of the last real step of each row, or what was before where none is."""
    if mask is None:
        return output_BTE[:, -1].to(before.dtype)
    numbers = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    last = (mask * numbers).amax(1)
    place = (last - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, output_BTE.shape[2])
    found = output_BTE.gather(1, place).squeeze(1).to(before.dtype)
    return torch.where(last.unsqueeze(1) > 0, found, before)


def _left(kept: Tensor) -> Tensor:
    """``F_t - F_s`` for s <= t, else minus infinity: ``[B, N, C, C, ...]``."""
    size = kept.shape[2]
    between = kept.unsqueeze(3) - kept.unsqueeze(2)
    later = torch.ones(size, size, dtype=torch.bool, device=kept.device).triu(1)
    return between.masked_fill(later.view(size, size, *[1] * (kept.dim() - 3)), -torch.inf)


def _run_heads(
    cell: MatrixStateCell, parts: list[Tensor], carried: Carried
) -> tuple[Tensor, Tensor, Carried]:
    """Chunk after chunk: what the queries read, the stabilisers, and the last state."""
    found = []
    for pieces in zip(*(torch.split(part, STEPS, 2) for part in parts), strict=True):
        y, stabilisers, carried = _by_head(cell, pieces, carried)
        found.append((y, stabilisers))
    y, stabilisers = (torch.cat(each, 2) for each in zip(*found, strict=True))
    return y, stabilisers, carried


def _by_head(
    cell: MatrixStateCell, pieces: tuple[Tensor, ...], carried: Carried
) -> tuple[Tensor, Tensor, Carried]:
    """A chunk in which each head has one decay a step."""
    query, key, value, log_decay, log_input, rate = pieces
    kept = log_decay.squeeze(-1).cumsum(2)
    left, start = _left(kept), kept
    stabilisers = torch.zeros_like(kept)
    if cell.exponential:
        left = left + log_input.unsqueeze(2)
        start = kept + carried.stabiliser.unsqueeze(-1)
        stabilisers = torch.maximum(start, left.amax(-1))
        left, start = left - stabilisers.unsqueeze(-1), start - stabilisers
    weights, first = left.exp(), start.exp().unsqueeze(-1)
    written = value
    if cell.delta:
        seen = (key @ key.mT) * weights * rate.unsqueeze(-1)
        wanted = rate.unsqueeze(-1) * (value - first * (key @ carried.memory))
        written = replaced(seen.tril(-1), wanted)
    y = ((query @ key.mT) * weights) @ written + first * (query @ carried.memory)
    last = (key * weights[:, :, -1].unsqueeze(-1)).mT @ written
    memory = first[:, :, -1:] * carried.memory + last
    return y, stabilisers, Carried(memory, stabilisers[:, :, -1])
