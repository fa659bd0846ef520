"""Runs without gradients, at little cost for each call."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from seqlab.cells.base import Cell, first_parameter
from seqlab.cells.gated import GatedCell
from seqlab.engines.base import RunCall, Sequence
from seqlab.engines.compiled.cell_code import Kernel, settled
from seqlab.engines.compiled.kept_matrices import MOST_ROWS, kept_matrices
from seqlab.engines.compiled.recurrence import Arguments
from seqlab.engines.compiled.watched import Watched
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
    """Whether the loop needs no memory but that of states and vectors."""
    return not kernel.equations.normalised and cell.weight_hr is None


class PlainRun:
    """The runs of a cell over inputs of one shape, of a form that ``fits`` and ``is_plain``.

    The cell projects its input.
    """

    def __init__(self, cell: GatedCell, kernel: Kernel, run: Sequence) -> None:
        x = run.x
        self._cell, self._shape = cell, x.shape
        self._matrices, call = kept_matrices(cell, kernel.library), Arguments()
        call.batch, call.steps, call.features = x.shape
        call.reverse, call.hidden, call.inner = run.reverse, cell.hidden_size, cell.hidden_size
        weight = cell.recurrent_weight()
        call.blocks = blocks_of(weight, cell.hidden_size)
        given = {"weight": weight, "bias": cell.recurrent_bias,
                 "kernel": cell.input_matrix(), "kernel_bias": cell.bias}  # fmt: skip
        self._alive = [*given.values(), *own_rows(cell, kernel.equations)]
        self._alive = [None if t is None else t.to(x.dtype).contiguous() for t in self._alive]
        addresses = [0 if t is None else t.data_ptr() for t in self._alive]
        for name, address in zip(given, addresses, strict=False):
            setattr(call, name, address)
        for index, address in enumerate(addresses[len(given) :]):
            call.parameter[index] = address
        self._fields = len(cell.state_sizes)
        self._call, self._many = call, ctypes.c_void_p * self._fields
        self._addresses = {address for address in addresses if address}

    def reads_parameters(self, watched: Watched) -> bool:
        """Whether all that is read are the cell's parameters themselves, as they are by then."""
        return self._addresses <= watched.addresses()

    def run(
        self, x: Tensor, states: State | None, mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """All steps, from states of the right form or from zero."""
        call, (batch, steps, _), hidden = self._call, self._shape, self._cell.hidden_size
        call = Arguments.from_buffer_copy(call)  # threads may run it at the same time
        x = x if x.stride(2) == 1 else x.contiguous()
        call.threads = torch.get_num_threads()
        call.source, (call.source_b, call.source_t, _) = x.data_ptr(), x.stride()
        if mask is not None:
            real = mask.T.contiguous()
            call.mask = real.data_ptr()
        # lies time-major, as the loop writes it
        output = x.new_empty_strided((batch, steps, hidden), (hidden, batch * hidden, 1))
        call.output = output.data_ptr()
        finals = [x.new_empty(batch, hidden) for _ in range(self._fields)]
        starts = self._many()
        if states is not None:
            kept = [part.contiguous() for part in states]
            starts[:] = [part.data_ptr() for part in kept]
        self._matrices.forward(call, starts, self._many(*[part.data_ptr() for part in finals]))
        return output, self._cell.State(*finals)


def ready_run(run: PlainRun, cell: GatedCell, before: Sequence) -> RunCall | None:
    """Such runs for ``Engine.ready_run``; None where they would not see changes of parameters."""
    if any(t.is_inference() for t in (*cell.parameters(), *cell.buffers())):
        return None
    watched = Watched(cell)
    if not run.reads_parameters(watched):
        return None
    kind, shapes = type(before.state), [part.shape for part in before.state]
    dtype, from_zero = before.x.dtype, type(cell).initial_state is Cell.initial_state

    def again(
        x_BTD: Tensor, state: State | None, mask: Tensor | None
    ) -> tuple[Tensor, State] | None:
        if not watched.same_memory() or not settled(cell):
            return None
        if state is None:
            return run.run(x_BTD, None, mask) if from_zero else None
        if type(state) is not kind:
            return None
        for part, shape in zip(state, shapes, strict=True):
            if part.shape != shape or part.dtype is not dtype:
                return None
        return run.run(x_BTD, state, mask)

    return again
