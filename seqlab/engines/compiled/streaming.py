"""Single steps by compiled code, whose matrices are packed once for many of them."""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, empty_like

from seqlab.cells.base import settings_key
from seqlab.cells.gated import GatedCell
from seqlab.engines.compiled.recurrence import CompiledRun
from seqlab.engines.compiled.watched import Watched
from seqlab.types import State


class Steps:
    """A cell's steps for batches of one size, with the weights as they are now."""

    def __init__(self, run: CompiledRun, cell: GatedCell, x_BD: Tensor) -> None:
        self.run, self.kernel, self._state = run, run.kernel, cell.State
        self.watched = Watched(cell)
        self._form, self._dtype = x_BD.shape, x_BD.dtype
        self._widths = [torch.Size((len(x_BD), width)) for width in cell.state_sizes]
        self._alias = self.kernel.layout.output_field
        self._narrows = cell.weight_hr is not None
        library = self.kernel.library
        library.prepare.restype = ctypes.c_void_p
        self._step = library.step
        self._count = len(self._widths)
        self._at = (ctypes.c_void_p * (2 + 2 * self._count))()
        self._lock = threading.RLock()  # a step writes to the packed matrices' memory
        self._made = ctypes.c_void_p(library.prepare(ctypes.byref(run.run)))
        weakref.finalize(self, library.release, self._made)

    def serves(self, x_BD: Tensor) -> bool:
        """Whether the input has the form of those before, and the weights have not changed."""
        form = x_BD.shape == self._form and x_BD.dtype is self._dtype
        return form and self.watched.same_numbers()

    def step(self, x_BD: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, State] | None:
        """The output and the new state; None for a state of another form than the code reads."""
        count, number = self._count, 0
        if len(state) != count:
            return None
        last: list[Tensor] = []
        with self._lock:
            at = self._at
            if not x_BD.is_contiguous():
                x_BD = x_BD.contiguous()
            at[0] = x_BD.data_ptr()
            for part in state:
                if part.shape != self._widths[number] or part.dtype is not self._dtype:
                    return None
                if not part.is_contiguous():
                    return self.step(x_BD, [each.contiguous() for each in state])
                after = empty_like(part)
                last.append(after)
                number += 1
                at[number], at[number + count] = part.data_ptr(), after.data_ptr()
            if self._alias is None:
                output = empty_like(state[0])
                at[2 * count + 1] = output.data_ptr()
            else:
                output = last[self._alias]
            self._step(self._made, at)
        if self._narrows:
            output = self.run.narrowed(output)
        return output, self._state(*last)


class _Known(NamedTuple):
    settings: Hashable
    steps: Steps


class StepsOfCells:
    """The steps of each cell, made anew when its weights have changed.

    Args:
        make: makes those of a cell for inputs like this one, or says why there are none.
    """

    def __init__(self, make: Callable[[GatedCell, Tensor], Steps | str]) -> None:
        self._make = make
        self._known: weakref.WeakKeyDictionary[GatedCell, _Known] = weakref.WeakKeyDictionary()

    def of(self, cell: GatedCell, x_BD: Tensor) -> Steps | None:
        """The steps, None where the cell has none."""
        known, settings = self._known.get(cell), settings_key(cell)
        if known is not None and known.settings == settings and known.steps.serves(x_BD):
            return known.steps
        if any(tensor.is_inference() for tensor in (*cell.parameters(), *cell.buffers())):
            return None  # nothing tells when it changes
        steps = self._make(cell, x_BD)
        if isinstance(steps, str):
            return None
        self._known[cell] = _Known(settings_key(cell), steps)
        return steps
