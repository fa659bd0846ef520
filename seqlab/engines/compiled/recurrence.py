"""One run of a compiled recurrence over time-major tensors, forward and backward."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from seqlab.engines.compiled.cell_code import MOST, MOST_PRODUCTS, Kernel
from seqlab.engines.compiled.kept_matrices import MOST_ROWS, KeptMatrices
from seqlab.engines.compiled.matrix_products import transposed
from seqlab.engines.traced.blocks import blocks_of
from seqlab.engines.traced.engine import Masks
from seqlab.engines.traced.histories import states_after, states_before
from seqlab.engines.traced.weight_gradient import Multiplied, weight_gradient


def _pointers(names: str) -> list[tuple[str, type]]:
    return [(name, ctypes.c_void_p) for name in names.split()]


def _numbers(names: str) -> list[tuple[str, type]]:
    return [(name, ctypes.c_int64) for name in names.split()]


class Arguments(ctypes.Structure):
    """Mirrors ``Arguments`` of ``cpp/arguments.h``; pointers are 0 where there is nothing."""

    _fields_ = [
        *_numbers("steps batch hidden inner blocks masks reverse threads"),
        *_pointers("x"), *_numbers("x_t x_b"),
        *_pointers("source kernel kernel_bias"), *_numbers("source_t source_b features"),
        *_pointers("kernel_scale weight_scale"),
        *_pointers("weight bias gain narrow mask drop zone"), ("zone_rate", ctypes.c_double),
        *_pointers("vectors output saved unit scale wide"), *_numbers("wide_t"),
        ("reduced", ctypes.c_void_p * MOST_PRODUCTS),
        ("history", ctypes.c_void_p * MOST), ("ring", ctypes.c_int64 * MOST),
        ("parameter", ctypes.c_void_p * MOST), ("noise", ctypes.c_void_p * MOST),
        *_pointers("d_output"), *_numbers("d_t d_b"),
        ("d_state", ctypes.c_void_p * MOST), *_pointers("d_x d_h"),
        ("d_reduced", ctypes.c_void_p * MOST_PRODUCTS), *_pointers("d_parameter d_gain d_bias"),
    ]  # fmt: skip


@dataclass
class CompiledRun:
    """One run of a kernel over a sequence: its fixed arguments and the memory it fills.

    H units; P is the width of what the recurrent matrix multiplies; S, that of the first state
    field, is P where ``proj_size`` narrows it, else H. ``kept``: matrices packed before. Of a
    block-diagonal recurrent matrix the blocks are given: fewer than P columns.
    """

    kernel: Kernel
    hidden: int
    inner: int
    masks: Masks
    reverse: bool
    keep: bool
    run: Arguments = field(default_factory=Arguments)
    memory: dict[str, Tensor] = field(default_factory=dict)
    history: list[Tensor] = field(default_factory=list)
    alive: list[Tensor] = field(default_factory=list)
    kept: KeptMatrices | None = None

    def _set(self, name: str, tensor: Tensor | None) -> None:
        if tensor is not None:
            self.memory[name] = tensor
            setattr(self.run, name, tensor.data_ptr())

    def _set_each(self, name: str, index: int, tensor: Tensor) -> None:
        """As ``_set``, for one of the recurrent products: ``reduced`` and ``d_reduced``."""
        self.memory[f"{name}{index}"] = tensor
        getattr(self.run, name)[index] = tensor.data_ptr()

    # -- forward -----------------------------------------------------------------------------

    def project(self, weight: Tensor, bias: Tensor | None) -> None:
        """Let ``forward`` take the input itself ``[T, B, D]``, and project it as it goes."""
        self._set("kernel", weight.contiguous())
        self.run.features = self.run.source_b = weight.shape[1]
        self._set("kernel_bias", bias)

    def shrink(self, kernel_scale: Tensor | None, weight_scale: Tensor | None) -> None:
        """Let matrices of small whole numbers times a scale for each row be kept as such."""
        self._set("kernel_scale", kernel_scale)
        self._set("weight_scale", weight_scale)

    def prepare(self, x_TBG: Tensor, tensors: Sequence[Tensor | None]) -> None:
        """All but the states, as for ``forward`` with inputs and states of this form."""
        run = self.run
        run.steps, run.batch = x_TBG.shape[:2]
        run.reverse, run.hidden, run.inner = self.reverse, self.hidden, self.inner
        run.threads = torch.get_num_threads()
        after = 3 + self.kernel.equations.states
        run.blocks = blocks_of(tensors[0], self.inner)
        self._matrices([*tensors[:3], tensors[after]])
        self._inputs([own for own in tensors[after + 1 :] if own is not None])
        self._allocate(x_TBG)

    def forward(
        self, x_TBG: Tensor, tensors: Sequence[Tensor | None]
    ) -> tuple[Tensor, list[Tensor]]:
        """See ``KernelRun``."""
        steps, batch = x_TBG.shape[:2]
        run, layout = self.run, self.kernel.layout
        if x_TBG.stride(2) != 1:
            x_TBG = x_TBG.contiguous()
        place = x_TBG.data_ptr(), x_TBG.stride(0), x_TBG.stride(1)
        if "kernel" in self.memory:
            run.source, run.source_t, run.source_b = place
        else:
            run.x, run.x_t, run.x_b = place
        self.prepare(x_TBG, tensors)
        states = [s for s in tensors[3 : 3 + self.kernel.equations.states] if s is not None]
        self._histories(x_TBG, states)
        alias = layout.output_field if self.masks.real is None else None
        output = None
        if alias is not None:
            output = states_after(self.history[alias], reverse=self.reverse)
        if output is None:
            output = x_TBG.new_empty(steps, batch, states[0].shape[1])
            run.output = output.data_ptr()
        if self.kept is None or steps * batch > MOST_ROWS:
            self.kernel.library.forward(ctypes.byref(run))
        else:
            self.kept.forward(run)
        last = 0 if self.reverse else steps
        finals = [h[last % 2 if h.shape[0] == 2 else last].clone() for h in self.history]
        return self.narrowed(output), finals

    def _matrices(self, tensors: Sequence[Tensor | None]) -> None:
        for name, tensor in zip(("weight", "bias", "gain", "narrow"), tensors, strict=True):
            self._set(name, None if tensor is None else tensor.contiguous())

    def _inputs(self, parameters: Sequence[Tensor]) -> None:
        if self.masks.real is not None:
            self._set("mask", self.masks.real.contiguous().view(torch.uint8))
        if self.masks.drop is not None:
            self._set("drop", self.masks.drop.contiguous())
            self.run.masks = self.masks.drop.shape[1]
        if isinstance(self.masks.narrowed, Tensor):
            self._set("zone", self.masks.narrowed.contiguous())
        else:
            self.run.zone_rate = self.masks.narrowed
        for index, parameter in enumerate(parameters):
            self.run.parameter[index] = parameter.data_ptr()
        for index, noise in enumerate(self.masks.zoneout):
            self.run.noise[index] = noise.data_ptr()
        self.alive = [*parameters, *self.masks.zoneout]

    def _histories(self, x_TBG: Tensor, states: Sequence[Tensor]) -> None:
        """Memory for the states, which hold the initial one."""
        steps, batch = x_TBG.shape[:2]
        layout = self.kernel.layout
        shown = layout.output_field if self.masks.real is None else None
        for index, state in enumerate(states):
            ring = not self.keep and index != shown
            slots = 2 if ring else steps + 1
            history = x_TBG.new_empty(slots, batch, state.shape[1])
            start = steps if self.reverse else 0
            history[start % 2 if ring else start] = state
            self.history.append(history)
            self.run.history[index], self.run.ring[index] = history.data_ptr(), ring

    def _allocate(self, x_TBG: Tensor) -> None:
        """Memory for what is computed between the states."""
        steps, batch = x_TBG.shape[:2]
        equations, layout = self.kernel.equations, self.kernel.layout
        if equations.later:
            shape = (len(equations.later), steps, batch, self.hidden)
            self._set("vectors", x_TBG.new_empty(shape))
        if equations.narrows:
            self._set("wide", x_TBG.new_empty(steps if self.keep else 1, batch, self.hidden))
            self.run.wide_t = batch * self.hidden if self.keep else 0
        if self.keep:
            self._set("saved", x_TBG.new_empty(steps, batch, layout.saved * self.hidden))
            if "narrow" in self.memory and not equations.narrows:
                for index in self._products():
                    self._set_each("reduced", index, x_TBG.new_empty(steps, batch, self.inner))
            if equations.normalised:
                self._set("unit", x_TBG.new_empty(steps, batch, equations.gates * self.hidden))
                self._set("scale", x_TBG.new_empty(steps, batch, equations.products))

    def narrowed(self, output: Tensor) -> Tensor:
        """The output, through ``proj_size``'s matrix where the loop has not done that."""
        if "narrow" not in self.memory or self.kernel.equations.narrows:
            return output
        if self.keep:
            self.memory["output"] = output
        return output @ self.memory["narrow"].T

    # -- backward ----------------------------------------------------------------------------

    def backward(
        self, grads: Sequence[Tensor | None], needed: Sequence[bool]
    ) -> list[Tensor | None]:
        """See ``KernelRun``."""
        equations = self.kernel.equations
        d_output = grads[0]
        if d_output is not None and "output" in self.memory:
            d_output = d_output @ self.memory["narrow"]
        d_x, d_h = self._gradients(d_output)
        d_states = self._state_gradients(grads[1:])
        own = len(equations.parameters) + len(equations.buffers)
        like, rows = self.history[0], d_h.shape[2]
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
        d_narrow = self._narrow_gradient(grads[0]) if needed[3 + len(d_states)] else None
        d_own = self.memory["d_parameter"].sum(0).unbind(0) if own else ()
        found = [d_x, d_weight, d_bias, d_gain, *d_states, d_narrow, *d_own]
        return [d if index == 0 or needed[index - 1] else None for index, d in enumerate(found)]

    def _gradients(self, d_output: Tensor | None) -> tuple[Tensor, Tensor]:
        """Memory for the gradients of the gates' input and recurrent parts."""
        run, like, equations = self.run, self.history[0], self.kernel.equations
        d_x = like.new_empty(run.steps, run.batch, equations.inputs * self.hidden)
        shape = (run.steps, run.batch, equations.gates * self.hidden)
        d_h = d_x if self.kernel.layout.same else like.new_empty(shape)
        run.d_x, run.d_h, run.d_output = d_x.data_ptr(), d_h.data_ptr(), None
        if "narrow" in self.memory:
            for index in [0] if equations.narrows else self._products():
                reduced = like.new_empty(run.steps, run.batch, self.inner)
                self._set_each("d_reduced", index, reduced)
        if d_output is not None:
            d_output = d_output if d_output.stride(2) == 1 else d_output.contiguous()
            self._set("d_output", d_output)
            run.d_t, run.d_b = d_output.stride(0), d_output.stride(1)
        return d_x, d_h

    def _state_gradients(self, d_finals: Sequence[Tensor | None]) -> list[Tensor]:
        """The final state's gradients, in memory that will hold the initial state's."""
        found = []
        for index, (d_final, history) in enumerate(zip(d_finals, self.history, strict=True)):
            d_state = history.new_zeros(history.shape[1:])
            if d_final is not None:
                d_state.copy_(d_final)
            self.run.d_state[index] = d_state.data_ptr()
            found.append(d_state)
        return found

    def _products(self) -> list[int]:
        """The products that make gates; the first may make none."""
        starts = self.kernel.equations.starts
        return [i for i, pair in enumerate(itertools.pairwise(starts)) if pair[0] < pair[1]]

    def _source(self, product: int) -> Tensor:
        """``[T, B, S or H]``: what one recurrent product is computed from at each step."""
        if product:
            return self.memory["vectors"][product - 1]
        return states_before(self.history[0], reverse=self.reverse)

    def _weight_gradient(self, d_h: Tensor) -> Tensor:
        """As the matrix: whole, or its blocks."""
        starts = self.kernel.equations.starts
        multiplied = [
            Multiplied(starts[i], starts[i + 1], self.memory.get(f"reduced{i}", self._source(i)))
            for i in self._products()
        ]
        drop, blocks = self.masks.drop, self.run.blocks
        return weight_gradient(d_h, multiplied, self.hidden, drop, blocks, multiply=transposed)

    def _narrow_gradient(self, d_output: Tensor | None) -> Tensor:
        """``[P, H]``: one product over all steps for each vector that the matrix narrowed."""
        if self.kernel.equations.narrows:
            pairs = [(self.memory["d_reduced0"], self.memory["wide"])]
        else:
            products = self._products()
            pairs = [(self.memory[f"d_reduced{i}"], self._source(i)) for i in products]
            if d_output is not None:
                pairs.append((d_output, self.memory["output"]))
        terms = [transposed(d.flatten(0, 1), vector.flatten(0, 1)) for d, vector in pairs]
        return torch.stack(terms).sum(0)
