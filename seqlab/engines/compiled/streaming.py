"""Single steps by compiled code, whose matrices are packed once for many of them."""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqlab.cells.base import settings_key
from seqlab.cells.gated import GatedCell
from seqlab.engines.compiled.recurrence import CompiledRun


class Steps:
    """A cell's steps for batches of one size, with the weights as they are now."""

    def __init__(self, run: CompiledRun, widths: Sequence[int]) -> None:
        self.run, self.kernel = run, run.kernel
        library = self.kernel.library
        library.prepare.restype = ctypes.c_void_p
        self._step, self._many = library.step, ctypes.c_void_p * len(widths)
        self._step.argtypes = [ctypes.c_void_p] * 5
        self._lock = threading.Lock()  # a step writes to memory that belongs to the packed matrices
        self._made = ctypes.c_void_p(library.prepare(ctypes.byref(run.run)))
        weakref.finalize(self, library.release, self._made)

    def step(self, x_BD: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The output and the new state."""
        start = [part if part.is_contiguous() else part.contiguous() for part in state]
        histories = [part.new_empty(2, *part.shape) for part in start]
        alias = self.kernel.layout.output_field
        output = torch.empty_like(start[0]) if alias is None else None
        x_BD = x_BD if x_BD.is_contiguous() else x_BD.contiguous()
        starts = self._many(*[part.data_ptr() for part in start])
        places = self._many(*[history.data_ptr() for history in histories])
        shown = None if output is None else output.data_ptr()
        with self._lock:
            self._step(self._made, x_BD.data_ptr(), starts, places, shown)
        finals = [history[1] for history in histories]
        if output is None:
            assert alias is not None  # noqa: S101  # one of the two
            output = finals[alias]
        return self.run.narrowed(output), finals


class _Known(NamedTuple):
    key: Hashable
    tensors: tuple[Tensor, ...]
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
        known = self._known.get(cell)
        if known is not None and known.key == _key(cell, x_BD, known.tensors):
            return known.steps
        tensors = (*cell.parameters(), *cell.buffers())
        if any(tensor.is_inference() for tensor in tensors):
            return None  # nothing tells when it changes
        steps = self._make(cell, x_BD)
        if isinstance(steps, str):
            return None
        self._known[cell] = _Known(_key(cell, x_BD, tensors), tensors, steps)
        return steps


def _key(cell: GatedCell, x_BD: Tensor, tensors: tuple[Tensor, ...]) -> Hashable:
    versions: list[Any] = []
    for tensor in tensors:
        versions += (tensor.data_ptr(), tensor._version)  # noqa: SLF001  # torch's count of changes
    return (settings_key(cell), x_BD.shape[0], torch.get_num_threads(), *versions)
