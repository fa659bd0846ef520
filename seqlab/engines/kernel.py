"""A gated cell's compiled recurrence, and the call that runs it over time-major tensors."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqlab.cells.gated import GatedCell
from seqlab.engines.aten_maths import NotElementwiseError
from seqlab.engines.cpp_source import Layout, generate
from seqlab.engines.toolchain import CompilerError, load_library
from seqlab.engines.tracing import Equations, trace

MOST = 16  # as in native/recurrence.h
REALS = {torch.float32: "float", torch.float64: "double"}
#: Rows of the batch below which a further thread costs more than it gives.
ROWS_PER_THREAD = 4


class Run(ctypes.Structure):
    """Mirrors ``Run`` of ``native/recurrence.h``; pointers are 0 where there is nothing."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("steps", "batch", "hidden", "reverse", "threads")),
        ("x", ctypes.c_void_p), ("x_t", ctypes.c_int64), ("x_b", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in (
            "weight", "bias", "gain", "mask", "drop", "vector", "vector2", "output", "saved",
            "unit", "scale",
        )),
        ("history", ctypes.c_void_p * MOST), ("ring", ctypes.c_int64 * MOST),
        ("parameter", ctypes.c_void_p * MOST), ("noise", ctypes.c_void_p * MOST),
        ("d_output", ctypes.c_void_p), ("d_t", ctypes.c_int64), ("d_b", ctypes.c_int64),
        ("d_state", ctypes.c_void_p * MOST),
        *((name, ctypes.c_void_p) for name in (
            "d_x", "d_h", "d_parameter", "d_gain", "d_bias",
        )),
    ]  # fmt: skip


class Kernel(NamedTuple):
    """Compiled code of one cell's equations."""

    equations: Equations
    layout: Layout
    library: ctypes.CDLL


#: For each cell its kernels, or why it has none, by what may change the code.
_known: weakref.WeakKeyDictionary[GatedCell, dict[Any, Kernel | str]] = weakref.WeakKeyDictionary()


def kernel_of(cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool) -> Kernel | str:
    """The compiled recurrence of a cell, or why there is none; traced and compiled once."""
    key = (dtype, zoneout_masks and any(cell.zoneout), cell.zoneout, cell.layer_norm,
           cell.activation, cell.recurrent_activation)  # fmt: skip
    kernels = _known.setdefault(cell, {})
    if key not in kernels:
        kernels[key] = _make(cell, dtype, zoneout_masks=zoneout_masks)
    return kernels[key]


def _make(cell: GatedCell, dtype: torch.dtype, *, zoneout_masks: bool) -> Kernel | str:
    try:
        equations = trace(cell, zoneout_masks=zoneout_masks)
        layout = generate(equations)
        library = load_library(layout.source, REALS[dtype])
    except NotElementwiseError as error:
        return f"its update is not elementwise maths ({error})"
    except CompilerError as error:
        return str(error)
    counts = (equations.states, len(equations.parameters) + len(equations.buffers))
    return (
        "more than 16 states or parameters"
        if max(counts) > MOST
        else Kernel(equations, layout, library)
    )


@dataclass
class Call:
    """One run of a kernel over a sequence: its fixed arguments and the memory it fills.

    ``mask`` is ``[T, B]`` bool, ``drop`` ``[B, H]``, ``noise`` ``[T, B, H]`` each.
    """

    kernel: Kernel
    hidden: int
    reverse: bool
    keep: bool
    mask: Tensor | None
    drop: Tensor | None
    noise: Sequence[Tensor]
    run: Run = field(default_factory=Run)
    memory: dict[str, Tensor] = field(default_factory=dict)
    history: list[Tensor] = field(default_factory=list)
    alive: list[Tensor] = field(default_factory=list)

    def _set(self, name: str, tensor: Tensor | None) -> None:
        if tensor is not None:
            self.memory[name] = tensor
            setattr(self.run, name, tensor.data_ptr())

    def forward(
        self, x_TBG: Tensor, tensors: Sequence[Tensor | None]
    ) -> tuple[Tensor, list[Tensor]]:
        """Run all steps.

        Args:
            x_TBG: the projected input.
            tensors: recurrent matrix, recurrent bias, gain, initial state, own parameters.

        Returns:
            Output ``[T, B, H]`` and the final state's tensors.
        """
        recurrent, rest = tensors[:3], [t for t in tensors[3:] if t is not None]
        states = rest[: self.kernel.equations.states]
        steps, batch = x_TBG.shape[:2]
        run, layout = self.run, self.kernel.layout
        run.steps, run.batch, run.hidden, run.reverse = steps, batch, self.hidden, self.reverse
        run.threads = max(1, min(torch.get_num_threads(), batch // ROWS_PER_THREAD))
        if x_TBG.stride(2) != 1:
            x_TBG = x_TBG.contiguous()
        run.x, run.x_t, run.x_b = x_TBG.data_ptr(), x_TBG.stride(0), x_TBG.stride(1)
        self._inputs(recurrent, rest[len(states) :])
        self._allocate(x_TBG, states)
        alias = layout.output_field if self.mask is None else None
        output = None if alias is None else self._after(self.history[alias])
        if output is None:
            output = x_TBG.new_empty(steps, batch, self.hidden)
            run.output = output.data_ptr()
        self.kernel.library.forward(ctypes.byref(run))
        last = 0 if self.reverse else steps
        finals = [h[last % 2 if h.shape[0] == 2 else last].clone() for h in self.history]
        return output, finals

    def _inputs(self, recurrent: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> None:
        for name, tensor in zip(("weight", "bias", "gain"), recurrent, strict=True):
            self._set(name, None if tensor is None else tensor.contiguous())
        if self.mask is not None:
            self._set("mask", self.mask.contiguous().view(torch.uint8))
        self._set("drop", None if self.drop is None else self.drop.contiguous())
        for index, parameter in enumerate(parameters):
            self.run.parameter[index] = parameter.data_ptr()
        for index, noise in enumerate(self.noise):
            self.run.noise[index] = noise.data_ptr()
        self.alive = [*parameters, *self.noise]

    def _allocate(self, x_TBG: Tensor, states: Sequence[Tensor]) -> None:
        steps, batch = x_TBG.shape[:2]
        equations, layout = self.kernel.equations, self.kernel.layout
        shown = layout.output_field if self.mask is None else None
        for index, state in enumerate(states):
            ring = not self.keep and index != shown
            slots = 2 if ring else steps + 1
            history = x_TBG.new_empty(slots, batch, self.hidden)
            start = steps if self.reverse else 0
            history[start % 2 if ring else start] = state
            self.history.append(history)
            self.run.history[index], self.run.ring[index] = history.data_ptr(), ring
        if self.drop is not None:
            self._set("vector", x_TBG.new_empty(steps, batch, self.hidden))
        if equations.second is not None:
            self._set("vector2", x_TBG.new_empty(steps, batch, self.hidden))
        if self.keep:
            self._set("saved", x_TBG.new_empty(steps, batch, layout.saved * self.hidden))
            if equations.normalised:
                self._set("unit", x_TBG.new_empty(steps, batch, equations.gates * self.hidden))
                self._set("scale", x_TBG.new_empty(steps, batch, 2))

    def _after(self, history: Tensor) -> Tensor:
        """The states after each step: the history's own memory, but no view to autograd."""
        part = history[:-1] if self.reverse else history[1:]
        return history.new_empty(0).set_(
            part.untyped_storage(), part.storage_offset(), part.shape, part.stride()
        )

    def backward(
        self, grads: Sequence[Tensor | None], needed: Sequence[bool]
    ) -> list[Tensor | None]:
        """Gradients of what ``forward`` was given: the input, then the tensors.

        Args:
            grads: gradients of the output and of the final state; None for zero.
            needed: for each of the tensors, whether its gradient is asked for.
        """
        equations = self.kernel.equations
        d_x, d_h = self._gradients(grads[0])
        d_states = self._state_gradients(grads[1:])
        own = len(equations.parameters) + len(equations.buffers)
        like, rows = self.history[0], d_x.shape[2]
        if own:
            self._set("d_parameter", like.new_zeros(self.run.threads, own, self.hidden))
        if equations.normalised:
            for name in ("d_gain", "d_bias"):
                self._set(name, like.new_zeros(self.run.threads, rows))
        self.kernel.library.backward(ctypes.byref(self.run))
        d_weight = self._weight_gradient(d_h) if needed[0] else None
        d_bias = d_gain = None
        if equations.normalised:
            d_gain, d_bias = self.memory["d_gain"].sum(0), self.memory["d_bias"].sum(0)
        elif needed[1]:
            d_bias = d_h.flatten(0, 1).sum(0)
        d_own = self.memory["d_parameter"].sum(0).unbind(0) if own else ()
        found = [d_x, d_weight, d_bias, d_gain, *d_states, *d_own]
        return [d if index == 0 or needed[index - 1] else None for index, d in enumerate(found)]

    def _gradients(self, d_output: Tensor | None) -> tuple[Tensor, Tensor]:
        """Memory for the gradients of the gates' input and recurrent parts."""
        run, like = self.run, self.history[0]
        d_x = like.new_empty(run.steps, run.batch, self.kernel.equations.gates * self.hidden)
        d_h = d_x if self.kernel.layout.same else torch.empty_like(d_x)
        run.d_x, run.d_h, run.d_output = d_x.data_ptr(), d_h.data_ptr(), None
        if d_output is not None:
            d_output = d_output if d_output.stride(2) == 1 else d_output.contiguous()
            self._set("d_output", d_output)
            run.d_t, run.d_b = d_output.stride(0), d_output.stride(1)
        return d_x, d_h

    def _state_gradients(self, d_finals: Sequence[Tensor | None]) -> list[Tensor]:
        """The final state's gradients, in memory that will hold the initial state's."""
        shape = self.history[0].shape[1:]
        found = []
        for index, d_final in enumerate(d_finals):
            d_state = self.history[0].new_zeros(shape)
            if d_final is not None:
                d_state.copy_(d_final)
            self.run.d_state[index] = d_state.data_ptr()
            found.append(d_state)
        return found

    def _multiplied(self) -> Tensor:
        """``[T, B, H]``: what the first recurrent product multiplied at each step."""
        vector = self.memory.get("vector")
        if vector is not None:
            return vector
        return self.history[0][1:] if self.reverse else self.history[0][:-1]

    def _weight_gradient(self, d_h: Tensor) -> Tensor:
        """``[G*H, H]``: one product over all steps for each recurrent product."""
        flat = d_h.flatten(0, 1)
        rows = self.kernel.equations.first_gates * self.hidden
        first = flat[:, :rows].T @ self._multiplied().flatten(0, 1)
        second = self.memory.get("vector2")
        if second is None:
            return first
        return torch.cat([first, flat[:, rows:].T @ second.flatten(0, 1)])
