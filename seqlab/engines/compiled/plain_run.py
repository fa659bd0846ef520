"""Runs without gradients of cells with one recurrent product, at little cost for each call."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from seqlab.cells.base import Cell, first_parameter
from seqlab.cells.gated import GatedCell
from seqlab.engines.base import Sequence
from seqlab.engines.compiled.cell_code import Kernel
from seqlab.engines.compiled.kept_matrices import MOST_ROWS, kept_matrices
from seqlab.engines.compiled.recurrence import Arguments
from seqlab.engines.traced.blocks import blocks_of
from seqlab.engines.traced.engine import REALS, own_rows
from seqlab.types import State


def fits(cell: Cell, run: Sequence) -> bool:
    """Whether a run draws nothing, is short, and needs no other type."""
    x, like = run.x, first_parameter(cell)
    dtype = x.dtype
    return (
        run.noise is None
        and like is not None
        and like.dtype == dtype
        and dtype in REALS
        and x.shape[0] * x.shape[1] <= MOST_ROWS
        and all(part.dtype == dtype for part in run.state)
        and not torch.is_autocast_enabled("cpu")
    )


def is_plain(cell: GatedCell, kernel: Kernel) -> bool:
    """Whether the loop needs no memory but the states'."""
    equations = kernel.equations
    return not (equations.later or equations.normalised or cell.weight_hr is not None)


def run_plain(cell: GatedCell, kernel: Kernel, run: Sequence) -> tuple[Tensor, State]:
    """All steps of a run that ``fits``, of a cell that ``is_plain`` and projects its input."""
    x, states, mask, reverse, _ = run
    batch, steps, features = x.shape
    x = x if x.stride(2) == 1 else x.contiguous()
    kept, call = kept_matrices(cell, kernel.library), Arguments()
    call.steps, call.batch, call.features, call.reverse = steps, batch, features, reverse
    call.hidden = call.inner = hidden = cell.hidden_size
    call.threads, weight = torch.get_num_threads(), cell.recurrent_weight()
    call.blocks = blocks_of(weight, hidden)
    call.source, call.source_b, call.source_t = x.data_ptr(), x.stride(0), x.stride(1)
    given = {"weight": weight, "bias": cell.recurrent_bias,
             "kernel": cell.input_matrix(), "kernel_bias": cell.bias}  # fmt: skip
    alive = {name: t.contiguous() for name, t in given.items() if t is not None}
    for name, tensor in alive.items():
        setattr(call, name, tensor.data_ptr())
    real = None if mask is None else mask.T.contiguous()
    call.mask = None if real is None else real.data_ptr()
    own = [row.to(x.dtype) for row in own_rows(cell, kernel.equations)]
    for index, row in enumerate(own):
        call.parameter[index] = row.data_ptr()
    shown = kernel.layout.output_field if mask is None else None
    histories, finals = [], []
    for index, _ in enumerate(states):
        ring = index != shown
        history = x.new_empty(2 if ring else steps + 1, batch, hidden)
        call.history[index], call.ring[index] = history.data_ptr(), ring
        histories.append(history)
        finals.append(x.new_empty(batch, hidden))
    starts = [part.contiguous() for part in states]
    if shown is None:
        output = x.new_empty(steps, batch, hidden)
        call.output = output.data_ptr()
    else:
        output = histories[shown][:-1] if reverse else histories[shown][1:]
    many = ctypes.c_void_p * len(starts)
    kept.forward(call, many(*[s.data_ptr() for s in starts]), many(*[f.data_ptr() for f in finals]))
    return output.transpose(0, 1), cell.State(*finals)
