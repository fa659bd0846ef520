"""One run of a cell over time-major tensors, with launches at each step, forward and backward.

For cells of which a step is more than its equations and one or two products: layer normalisation
needs all gates of a row, ``proj_size`` one more product, and a cell may have more products. Each
step launches the kernels of its equations with torch's matrix products between them; the gradients
of the matrices are one product over all steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from seqlab.cells.products import spread_heads
from seqlab.engines.traced.blocks import blocks_of
from seqlab.engines.traced.engine import Form, Masks
from seqlab.engines.traced.histories import states_after, states_before
from seqlab.engines.traced.weight_gradient import Multiplied, weight_gradient
from seqlab.engines.triton.cell_kernels import StepKernels
from seqlab.engines.triton.step_launches import StepLaunches
from seqlab.engines.triton.step_products import StepProduct, multiply
from seqlab.engines.triton.tiling import Place
from seqlab.engines.triton_presence import launching_on


@dataclass
class StepRun:
    """One run over a sequence, and the memory it fills.

    H units; P is the width of what the recurrent matrix multiplies, and of the first state field
    where ``proj_size`` narrows it.
    """

    kernels: StepKernels
    hidden: int
    inner: int
    masks: Masks
    form: Form
    place: Place
    blocks: int = field(init=False)
    launches: StepLaunches = field(init=False)
    products: list[StepProduct | None] = field(init=False)
    history: list[Tensor] = field(init=False)
    narrow: Tensor | None = field(init=False)
    output: Tensor | None = field(init=False)
    wide: Tensor = field(init=False)
    vectors: Tensor = field(init=False)
    reduced: list[Tensor] = field(init=False)

    def project(self, weight: Tensor, bias: Tensor | None) -> None:
        """No kernel of it does."""
        raise NotImplementedError

    # -- forward -----------------------------------------------------------------------------

    def forward(
        self, x_TBG: Tensor, tensors: Sequence[Tensor | None]
    ) -> tuple[Tensor, list[Tensor]]:
        """See ``KernelRun``."""
        equations = self.kernels.equations
        weight, bias, gain, *rest = tensors
        states = [s for s in rest[: equations.states] if s is not None]
        self.narrow = _as(rest[equations.states], self.form.half)
        own = [t for t in rest[equations.states + 1 :] if t is not None]
        x_TBG = x_TBG if x_TBG.stride(2) == 1 else x_TBG.contiguous()
        steps, batch = x_TBG.shape[:2]
        self._allocate(x_TBG, weight, states)
        made = [
            x_TBG.new_empty(batch, (end - start) * self.hidden)
            for start, end in itertools.pairwise(equations.starts)
        ]
        field_ = self.kernels.source.output_field if self.masks.real is None else None
        shown = self.inner if equations.narrows else self.hidden
        output = x_TBG.new_empty(steps, batch, shown) if field_ is None else None
        self.launches = StepLaunches(
            self.kernels, self.hidden, self.masks, self.form, self.place, x_TBG, made,
            _whole(bias), _whole(gain), output, self.history, own, self.wide,
        )  # fmt: skip
        with launching_on(x_TBG.device):
            for step in range(steps):
                self._step(steps - 1 - step if self.form.reverse else step)
        last = 0 if self.form.reverse else steps
        finals = [h[last % len(h)].clone() for h in self.history]
        if output is None:
            assert field_ is not None  # noqa: S101  # one of the two
            output = states_after(self.history[field_], reverse=self.form.reverse)
        self.output = None
        if self.narrow is None or equations.narrows:
            return output, finals
        if self.form.keep:
            self.output = output
        return _times(output, self.narrow.T, self.form.half), finals

    def _step(self, t: int) -> None:
        equations, half, launches = self.kernels.equations, self.form.half, self.launches
        kept = t if self.form.keep else 0
        old, new = launches.at(t)
        for index, product in enumerate(self.products):
            if product is None:
                continue
            vector = self.vectors[index - 1, kept] if index else self.history[0][old[0]]
            if index:
                launches.vector(index, t, self.vectors[index - 1])
            if self.reduced:
                assert self.narrow is not None  # noqa: S101  # that is what reduces
                vector = multiply(vector, self.narrow.T, self.reduced[index][kept], half)
            product.forward(vector, launches.made[index])
            launches.normalise(index, t)
        launches.update(t)
        if equations.narrows:
            assert self.narrow is not None  # noqa: S101  # that is what narrows
            if launches.mixes:
                made = _times(self.wide[kept], self.narrow.T, half)
                launches.narrowed(t, made)
            else:
                multiply(self.wide[kept], self.narrow.T, self.history[0][new[0]], half)

    def _allocate(self, x_TBG: Tensor, weight: Tensor | None, states: Sequence[Tensor]) -> None:
        """Memory for the states, which hold the initial ones, and for what is between them."""
        equations = self.kernels.equations
        steps, batch = x_TBG.shape[:2]
        kept = steps if self.form.keep else 1
        shown = self.kernels.source.output_field if self.masks.real is None else None
        start = steps if self.form.reverse else 0
        self.history = []
        for index, state in enumerate(states):
            # without a way back two times are enough
            slots = steps + 1 if self.form.keep or index == shown else 2
            history = x_TBG.new_empty(slots, batch, state.shape[1])
            history[start % slots] = state
            self.history.append(history)
        self.blocks = blocks_of(weight, self.inner)
        if weight is not None and self.blocks > 1:
            weight = spread_heads(weight, self.hidden, self.blocks)
        matrix, drop, half = _as(weight, self.form.half), self.masks.drop, self.form.half
        self.products = [
            None
            if matrix is None or first == last
            else StepProduct.of(matrix, (first, last), self.hidden, drop, half)
            for first, last in itertools.pairwise(equations.starts)
        ]
        wide = kept if equations.narrows else 0
        self.wide = x_TBG.new_empty(wide, batch, self.hidden)
        self.vectors = x_TBG.new_empty(len(equations.later), kept, batch, self.hidden)
        self.reduced = []
        if self.narrow is not None and not equations.narrows:
            counts = [kept if product is not None else 0 for product in self.products]
            self.reduced = [x_TBG.new_empty(count, batch, self.inner) for count in counts]

    # -- backward ----------------------------------------------------------------------------

    def backward(
        self, grads: Sequence[Tensor | None], needed: Sequence[bool]
    ) -> list[Tensor | None]:
        """See ``KernelRun``."""
        equations, like, half = self.kernels.equations, self.history[0], self.form.half
        steps, batch = like.shape[0] - 1, like.shape[1]
        d_output = d_shown = grads[0]
        if d_output is not None and self.output is not None:
            assert self.narrow is not None  # noqa: S101  # by it the output was made
            d_output = _times(d_output, self.narrow, half)
        d_states = [
            torch.zeros_like(h[0]) if d is None else d.clone(memory_format=torch.contiguous_format)
            for d, h in zip(grads[1:], self.history, strict=True)
        ]
        d_reduced = [torch.empty_like(r) for r in self.reduced]
        if equations.narrows:
            d_reduced = [like.new_empty(steps, batch, self.inner)]
        launches = self.launches
        launches.start_back(d_output, d_states, self.inner)
        with launching_on(like.device):
            for step in reversed(range(steps)):
                t = steps - 1 - step if self.form.reverse else step
                self._step_back(t, d_states, d_reduced)
        d_h = launches.d_h
        d_weight = self._weight_gradient(d_h) if needed[0] else None
        d_gain = d_bias = None
        if equations.normalised:
            d_gain, d_bias = launches.d_gain.sum(0), launches.d_bias.sum(0)
        elif needed[1]:
            d_bias = d_h.flatten(0, 1).sum(0)
        wants = needed[3 + len(d_states)]
        d_narrow = self._narrow_gradient(d_shown, d_reduced) if wants else None
        d_own = [d.sum(0) for d in launches.d_own]
        buffers = [None] * len(equations.buffers)
        found = [launches.d_x, d_weight, d_bias, d_gain, *d_states, d_narrow, *d_own, *buffers]
        return [d if index == 0 or needed[index - 1] else None for index, d in enumerate(found)]

    def _step_back(self, t: int, d_states: Sequence[Tensor], d_reduced: Sequence[Tensor]) -> None:
        equations, half, launches = self.kernels.equations, self.form.half, self.launches
        if equations.narrows:
            assert self.narrow is not None  # noqa: S101  # that is what narrowed
            launches.narrowed_back(t, d_reduced[0])
            multiply(d_reduced[0][t], self.narrow, launches.d_wide, half)
        launches.update_back(t)
        for index, product in reversed([*enumerate(self.products)]):
            if product is None:
                continue
            launches.normalise_back(index, t)
            rows = slice(product.first * self.hidden, product.last * self.hidden)
            inner = d_reduced[index][t] if self.reduced else launches.d_inner
            d_vector = product.backward(launches.d_h[t][:, rows], inner)
            if self.reduced:
                assert self.narrow is not None  # noqa: S101  # that is what reduced
                d_vector = multiply(d_vector, self.narrow, launches.d_vector, half)
            if index:
                launches.vector_back(index, t, d_vector)
            else:
                d_states[0].add_(d_vector)

    # -- what is left of the gradients -------------------------------------------------------

    def _before(self, index: int) -> Tensor:
        """``[T, B, H]``, or P: what a product was computed from at each step."""
        if index:
            return self.vectors[index - 1]
        return states_before(self.history[0], reverse=self.form.reverse)

    def _weight_gradient(self, d_h: Tensor) -> Tensor:
        """As the matrix: whole, or its blocks."""
        multiplied = [
            Multiplied(p.first, p.last, self.reduced[i] if self.reduced else self._before(i))
            for i, p in enumerate(self.products)
            if p is not None
        ]
        return weight_gradient(d_h, multiplied, self.hidden, self.masks.drop, self.blocks)

    def _narrow_gradient(self, d_output: Tensor | None, d_reduced: Sequence[Tensor]) -> Tensor:
        """``[P, H]``: one product over all steps for each vector that the matrix narrowed."""
        pairs = [(d_reduced[0], self.wide)] if self.kernels.equations.narrows else [
            (d_reduced[i], self._before(i)) for i, p in enumerate(self.products) if p is not None
        ]  # fmt: skip
        if self.output is not None and d_output is not None:
            pairs.append((d_output, self.output))
        return torch.stack([d.flatten(0, 1).T @ v.flatten(0, 1) for d, v in pairs]).sum(0)


def _whole(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _as(matrix: Tensor | None, half: torch.dtype | None) -> Tensor | None:
    return matrix if matrix is None or half is None else matrix.to(half)


def _times(a: Tensor, b: Tensor, half: torch.dtype | None) -> Tensor:
    return multiply(a, b, a.new_empty(*a.shape[:-1], b.shape[1]), half)
