"""The loop of one run that launches kernels at each step: its memory, and all steps both ways.

The kernels of a step's equations are launched with torch's matrix products between them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.engines.traced.engine import Form, Masks
from seqlab.engines.traced.histories import states_after, states_before
from seqlab.engines.triton.cell_kernels import StepKernels
from seqlab.engines.triton.step_launches import Back, StepLaunches
from seqlab.engines.triton.step_products import StepProduct, multiply, times
from seqlab.engines.triton.tiling import Place
from seqlab.engines.triton_presence import launching_on


class Sizes(NamedTuple):
    """H units, and P, the width of what the recurrent matrix multiplies."""

    hidden: int
    inner: int


class Read(NamedTuple):
    """What a loop reads beside the states; None where there is nothing.

    ``x`` is the projected input ``[T, B, G*H]``; ``matrix`` ``[R, P]`` and ``narrow``, of
    ``proj_size``, are in the type of the products; of ``masks`` the dropout is ``[B, P]``, or
    ``[G, B, P]`` with a mask for each gate.
    """

    x: Tensor
    matrix: Tensor | None
    bias: Tensor | None
    gain: Tensor | None
    narrow: Tensor | None
    own: tuple[Tensor, ...]
    masks: Masks

    def parts(self) -> list[Tensor | None]:
        """All tensors, one after the other."""
        real, drop, zones, zone = self.masks
        narrowed = zone if isinstance(zone, Tensor) else None
        return [*self[:5], real, drop, narrowed, *zones, *self.own]

    def with_parts(self, parts: Sequence[Tensor | None]) -> Read:
        """The same with other tensors, in the order of ``parts``."""
        real, drop, narrowed, *rest = parts[5:]
        given = tuple(tensor for tensor in rest if tensor is not None)
        count = len(self.masks.zoneout)
        zone = self.masks.narrowed if narrowed is None else narrowed
        masks = Masks(real, drop, list(given[:count]), zone)
        matrix, bias, gain, narrow = parts[1:5]
        return Read(_there(parts[0]), matrix, bias, gain, narrow, given[count:], masks)


class StepLoop:
    """All steps of a run, and the memory that they fill.

    Args:
        kernels: those of the cell.
        sizes: H and P.
        form: of the run.
        place: where it runs.
        read: what it reads.
        widths: of the states.
    """

    def __init__(  # noqa: PLR0917  # all of them tell runs apart
        self, kernels: StepKernels, sizes: Sizes, form: Form, place: Place, read: Read,
        widths: Sequence[int],
    ) -> None:  # fmt: skip
        self.kernels, self.form, self.read = kernels, form, read
        (hidden, inner), equations, x = sizes, kernels.equations, read.x
        self.hidden, self.inner = sizes
        self.steps, batch = x.shape[:2]
        kept = self.steps if form.keep else 1
        shown = kernels.source.output_field if read.masks.real is None else None
        # without a way back two times are enough
        self.history = [
            x.new_empty(
                self.steps + 1 if form.keep or index == shown else 2, batch, width
            )
            for index, width in enumerate(widths)
        ]  # fmt: skip
        self.products = [
            None if read.matrix is None or first == last
            else StepProduct.of(read.matrix, (first, last), hidden, read.masks.drop, form.half)
            for first, last in itertools.pairwise(equations.starts)
        ]  # fmt: skip
        self.wide = x.new_empty(kept if equations.narrows else 0, batch, hidden)
        self.vectors = x.new_empty(len(equations.later), kept, batch, hidden)
        self.reduced: list[Tensor] = []
        if read.narrow is not None and not equations.narrows:
            counts = [kept if product is not None else 0 for product in self.products]
            self.reduced = [x.new_empty(count, batch, inner) for count in counts]
        made = [
            x.new_empty(batch, (end - start) * hidden)
            for start, end in itertools.pairwise(equations.starts)
        ]
        width = inner if equations.narrows else hidden
        self.shown = x.new_empty(self.steps, batch, width) if shown is None else None
        self.launches = StepLaunches(
            kernels, hidden, read.masks, form, place, x, made, read.bias, read.gain, self.shown,
            self.history, read.own, self.wide,
        )  # fmt: skip

    # -- forward -----------------------------------------------------------------------------

    def start(self, states: Sequence[Tensor]) -> None:
        """Take the states before the first step."""
        begin = self.steps if self.form.reverse else 0
        for history, state in zip(self.history, states, strict=True):
            history[begin % len(history)] = state

    def run(self) -> None:
        """All steps."""
        with launching_on(self.read.x.device):
            for step in range(self.steps):
                self._step(self.steps - 1 - step if self.form.reverse else step)

    def output(self) -> Tensor:
        """The output, in the loop's memory; before ``proj_size`` where no state is narrowed."""
        if self.shown is not None:
            return self.shown
        field = self.kernels.source.output_field
        assert field is not None  # noqa: S101  # one of the two
        return states_after(self.history[field], reverse=self.form.reverse)

    def finals(self) -> list[Tensor]:
        """The states after the last step."""
        last = 0 if self.form.reverse else self.steps
        return [history[last % len(history)].clone() for history in self.history]

    def _step(self, t: int) -> None:
        equations, half, launches = self.kernels.equations, self.form.half, self.launches
        kept, narrow = t if self.form.keep else 0, self.read.narrow
        old, new = launches.at(t)
        for index, product in enumerate(self.products):
            if product is None:
                continue
            vector = self.vectors[index - 1, kept] if index else self.history[0][old[0]]
            if index:
                launches.vector(index, t, self.vectors[index - 1])
            if self.reduced:
                vector = multiply(vector, _there(narrow).T, self.reduced[index][kept], half)
            product.forward(vector, launches.made[index])
            launches.normalise(index, t)
        launches.update(t)
        if equations.narrows:
            wide, matrix = self.wide[kept], _there(narrow).T
            if launches.mixes:
                launches.narrowed(t, times(wide, matrix, half))
            else:
                multiply(wide, matrix, self.history[0][new[0]], half)

    def before(self, index: int) -> Tensor:
        """``[T, B, H]``, or P: what a product was computed from at each step."""
        if index:
            return self.vectors[index - 1]
        return states_before(self.history[0], reverse=self.form.reverse)

    # -- backward ----------------------------------------------------------------------------

    def back(self, d_output: Tensor | None, d_finals: Sequence[Tensor | None]) -> Back:
        """Memory for the way back, which begins with the gradients of output and final states."""
        d_states = [torch.empty_like(history[0]) for history in self.history]
        back = self.launches.back_from(d_output, d_states, self.inner, self.reduced)
        back.start(None, d_finals)
        return back

    def run_back(self, back: Back) -> None:
        """All steps back."""
        self.launches.go_back(back)
        with launching_on(self.read.x.device):
            for step in reversed(range(self.steps)):
                self._step_back(self.steps - 1 - step if self.form.reverse else step, back)

    def _step_back(self, t: int, back: Back) -> None:
        equations, half, launches = self.kernels.equations, self.form.half, self.launches
        narrow = self.read.narrow
        if equations.narrows:
            launches.narrowed_back(t, back.d_reduced[0])
            multiply(back.d_reduced[0][t], _there(narrow), back.d_wide, half)
        launches.update_back(t)
        for index, product in reversed([*enumerate(self.products)]):
            if product is None:
                continue
            launches.normalise_back(index, t)
            rows = slice(product.first * self.hidden, product.last * self.hidden)
            inner = back.d_reduced[index][t] if self.reduced else back.d_inner
            d_vector = product.backward(back.d_h[t][:, rows], inner)
            if self.reduced:
                d_vector = multiply(d_vector, _there(narrow), back.d_vector, half)
            if index:
                launches.vector_back(index, t, d_vector)
            else:
                back.d_states[0].add_(d_vector)


def _there(tensor: Tensor | None) -> Tensor:
    """A tensor that the equations say is there."""
    assert tensor is not None  # noqa: S101  # what narrows has a matrix
    return tensor
