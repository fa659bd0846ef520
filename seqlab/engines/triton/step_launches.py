"""The launches of one step's kernels, forward and backward, and the memory they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seqlab.engines.traced.engine import Form, Masks
from seqlab.engines.triton import row_kernels
from seqlab.engines.triton.cell_kernels import REALS, StepKernels
from seqlab.engines.triton.tiling import Place, divided, row_tiles, step_tiles
from seqlab.engines.triton_launch import Launcher, Repeated

#: The kernels around a step's equations.
ROW_KERNELS = {
    kernel.__name__: Launcher(kernel)
    for kernel in (row_kernels.normalise, row_kernels.normalise_backward, row_kernels.narrowed,
                   row_kernels.narrowed_backward)
}  # fmt: skip


@dataclass
class Back:
    """What the way back reads, adds up and leaves: gradients, by the names of what they are of.

    ``d_own`` are sums of the programs for each parameter of the equations, ``sums`` those of gain
    and bias ``[2, programs, G*H]``, where products are normalised.
    """

    d_output: Tensor | None
    d_states: list[Tensor]
    d_h: Tensor
    d_x: Tensor
    d_vector: Tensor
    d_wide: Tensor
    d_inner: Tensor
    d_own: list[Tensor]
    sums: Tensor | None
    d_reduced: list[Tensor]

    def start(self, d_output: Tensor | None, d_finals: Sequence[Tensor | None]) -> None:
        """Take the gradients of the final states, None for zero, and of the output if given."""
        if d_output is not None and self.d_output is not None:
            self.d_output.copy_(d_output)
        for d_state, given in zip(self.d_states, d_finals, strict=True):
            if given is None:
                d_state.zero_()
            else:
                d_state.copy_(given)
        for total in (*self.d_own, *([] if self.sums is None else [self.sums])):
            total.zero_()


class StepLaunches:
    """What one run launches; what all its steps have in common is worked out once.

    Args:
        kernels: those of the cell.
        hidden: H.
        masks: of the run, each in one piece of memory.
        form: of the run.
        place: where it runs.
        x_TBG: the projected input.
        made: memory of each product's gates, ``[B, gates * H]``.
        bias: of the recurrent products.
        gain: of their normalisation.
        output: memory for the output, where no state's history is it.
        history: of each state ``[slots, B, H]``; the first may be narrower.
        own: parameters and buffers that the equations read.
        wide: ``[slots, B, H]``, what ``proj_size`` narrows; of no slots where it narrows no state.
    """

    def __init__(  # noqa: PLR0917  # one caller
        self, kernels: StepKernels, hidden: int, masks: Masks, form: Form, place: Place,
        x_TBG: Tensor, made: Sequence[Tensor], bias: Tensor | None, gain: Tensor | None,
        output: Tensor | None, history: Sequence[Tensor], own: Sequence[Tensor], wide: Tensor,
    ) -> None:  # fmt: skip
        self.kernels, self.hidden, self.masks, self.form = kernels, hidden, masks, form
        self.made, self.bias, self.gain, self.output = made, bias, gain, output
        self.history, self.wide, self.nothing = history, wide, x_TBG
        self.steps, self.batch = x_TBG.shape[:2]
        equations = kernels.equations
        shape = (self.steps if form.keep else 0, self.batch)
        saved = x_TBG.new_empty(*shape, kernels.source.saved * hidden)
        kept = equations.normalised
        self.unit = x_TBG.new_empty(*shape, equations.gates * hidden if kept else 0)
        self.scale = x_TBG.new_empty(*shape, equations.products if kept else 0)
        real = masks.real
        self._mask = (x_TBG, 0, 0) if real is None else (real.view(torch.uint8), *real.stride())
        self._state = [*history, *own, *masks.zoneout]
        self.back: Back
        #: By kernel, and by what it is made for where that is not all.
        self._again: dict[Any, Any] = {}
        self._saved = saved
        self._inputs = (x_TBG, x_TBG.stride(0), x_TBG.stride(1), *made, _or(bias, x_TBG))
        self._rows, self._units = step_tiles(hidden, self.batch, place)
        self._place = place
        self._fixed = {
            "MASKED": real is not None, "REAL": REALS[x_TBG.dtype], "ROWS": self._rows,
            "UNITS": self._units,
        }  # fmt: skip
        self._common = {
            **self._fixed, "BIASED": bias is not None and not equations.normalised,
            "SAVED": form.keep,
        }  # fmt: skip
        self._key = (x_TBG.device, x_TBG.dtype, hidden, *list(self._common.values())[2:],
                     real is not None)  # fmt: skip

    def at(self, t: int) -> tuple[list[int], list[int]]:
        """Where the states before and after a time lie in their histories."""
        old, new = (t + 1, t) if self.form.reverse else (t, t + 1)
        return [old % len(h) for h in self.history], [new % len(h) for h in self.history]

    def _times(self, t: int) -> list[int]:
        old, new = self.at(t)
        return [t, t if self.form.keep else 0, *old, *new, self.batch, self.hidden]

    def _grid(self, width: int) -> tuple[int, int]:
        return divided(width, self._units), divided(self.batch, self._rows)

    # -- forward -----------------------------------------------------------------------------

    def vector(self, product: int, t: int, vector: Tensor) -> None:
        """What a later product multiplies."""
        self._equations(f"vector{product}", t, vector)

    def update(self, t: int) -> None:
        """The output and the next state."""
        self._equations("update", t, self.nothing)

    def _equations(self, name: str, t: int, vector: Tensor) -> None:
        shown = self.output is not None
        arguments = (
            *self._inputs, *self._mask, _or(self.output, self.nothing), self.wide, vector,
            self._saved, *self._state, *self._times(t),
        )  # fmt: skip
        self._launch(name, arguments, shown=shown)

    def _launch(self, name: str, arguments: tuple[Any, ...], *, shown: bool) -> None:
        again = self._again.get(name)
        if again is None:
            kernel, key = self.kernels.module[name], (*self._key, shown)
            constants = {"GRADED": shown, **self._common}
            again = self._again[name] = Repeated(kernel, self._grid(self.hidden), key, constants)
        again(arguments)

    def normalise(self, product: int, t: int) -> None:
        """Normalise a product's gates."""
        if self.gain is None:
            return
        tensors = (self.made[product], self.gain, _or(self.bias, self.gain), self.unit, self.scale)
        self._normalised(
            "normalise", product, t, tensors, BIASED=self.bias is not None, SAVED=self.form.keep
        )

    def _normalised(
        self, name: str, product: int, t: int, tensors: tuple[Tensor, ...], **constants: bool
    ) -> None:
        found = self._again.get((name, product))
        if found is None:
            found = self._again[name, product] = self._to_normalise(name, product, constants)
        again, sizes = found
        again((*tensors, t, *sizes))

    def _to_normalise(
        self, name: str, product: int, constants: dict[str, bool]
    ) -> tuple[Repeated, tuple[int, ...]]:
        """The launches for one product, and the numbers after the time."""
        equations = self.kernels.equations
        first, last = (start * self.hidden for start in equations.starts[product : product + 2])
        rows, block, warps = row_tiles(last - first, self.batch, self._place)
        width = equations.gates * self.hidden
        sizes = (self.batch, first, last - first, width, product, equations.products)
        tiles = {"ROWS": rows, "BLOCK": block, "REAL": self._fixed["REAL"], "num_warps": warps}
        key = (*self._key, *sizes[2:4], equations.products, rows, block, *constants.values())
        grid = (divided(self.batch, rows),)
        return Repeated(ROW_KERNELS[name], grid, key, {**constants, **tiles}), sizes

    @property
    def mixes(self) -> bool:
        """Whether the narrowed state is not simply what the matrix made."""
        return self.masks.real is not None or self._zone["ZONED"] or self._zone["RATE"] > 0

    @property
    def _zone(self) -> dict[str, Any]:
        zone = self.masks.narrowed
        masked = isinstance(zone, Tensor)
        return {"ZONED": masked, "RATE": 0.0 if masked else zone}

    def narrowed(self, t: int, made: Tensor) -> None:
        """The narrowed state, and the output."""
        old, new = self.at(t)
        width, zone = made.shape[1], self.masks.narrowed
        arguments = (
            made, self.history[0], _or(self.output, made),
            zone if isinstance(zone, Tensor) else made, *self._mask,
            t, old[0], new[0], self.batch, width,
        )  # fmt: skip
        self._narrow("narrowed", arguments, width, shown=self.output is not None)

    def _narrow(self, name: str, arguments: tuple[Any, ...], width: int, *, shown: bool) -> None:
        again = self._again.get(name)
        if again is None:
            constants = {"GRADED": shown, **self._zone, **self._fixed}
            key = (*self._key, width, shown, *self._zone.values())
            again = Repeated(ROW_KERNELS[name], self._grid(width), key, constants)
            self._again[name] = again
        again(arguments)

    # -- backward ----------------------------------------------------------------------------

    def back_from(
        self, d_output: Tensor | None, d_states: list[Tensor], inner: int,
        reduced: Sequence[Tensor],
    ) -> Back:  # fmt: skip
        """Memory for the gradients of this run."""
        equations, like = self.kernels.equations, self.history[0]
        steps, batch, hidden = self.steps, self.batch, self.hidden
        d_h = like.new_empty(steps, batch, equations.gates * hidden)
        shape = (steps, batch, equations.inputs * hidden)
        groups, sums = divided(batch, self._rows), None
        if equations.normalised:
            rows = row_tiles(1, batch, self._place)[0]
            sums = like.new_empty(2, divided(batch, rows), d_h.shape[2])
        d_reduced = [torch.empty_like(part) for part in reduced]
        return Back(
            d_output, d_states, d_h, d_h if self.kernels.source.same else like.new_empty(shape),
            like.new_empty(batch, hidden), like.new_empty(batch, hidden),
            like.new_empty(batch, inner),
            [like.new_empty(groups, hidden) for _ in equations.parameters], sums,
            [like.new_empty(steps, batch, inner)] if equations.narrows else d_reduced,
        )  # fmt: skip

    def go_back(self, back: Back) -> None:
        """From now on launches are those of one way back."""
        self.back = back
        self._again.clear()  # the gradient of an output may lie anywhere

    def _shown(self, *, wanted: bool) -> tuple[Any, int, int]:
        """The output's gradient and its strides."""
        d_output = self.back.d_output
        if d_output is None or not wanted:
            return self.nothing, 0, 0
        return d_output, d_output.stride(0), d_output.stride(1)

    def update_back(self, t: int) -> None:
        """Gradients of the equations' inputs and of the states before the step."""
        self._equations_back("update_backward", t, self.nothing)

    def vector_back(self, product: int, t: int, d_vector: Tensor) -> None:
        """Those of what a later product multiplied are added."""
        self._equations_back(f"vector{product}_backward", t, d_vector)

    def _equations_back(self, name: str, t: int, d_vector: Tensor) -> None:
        shown, back = not self.kernels.equations.narrows, self.back
        arguments = (
            *self._mask, self.wide, self._saved, *self._state, *self._shown(wanted=shown),
            d_vector, back.d_wide, back.d_x, back.d_h, *back.d_states, *back.d_own,
            *self._times(t),
        )  # fmt: skip
        shown = shown and back.d_output is not None
        self._launch(name, arguments, shown=shown)

    def normalise_back(self, product: int, t: int) -> None:
        """The gradients of a product's gates become those of the product."""
        if self.gain is None:
            return
        sums = self.back.sums
        assert sums is not None  # noqa: S101  # what is normalised has them
        tensors = (self.back.d_h, self.gain, self.unit, self.scale, *sums.unbind())
        self._normalised("normalise_backward", product, t, tensors)

    def narrowed_back(self, t: int, d_made: Tensor) -> None:
        """What the matrix made takes its part of the gradient."""
        zone, width = self.masks.narrowed, d_made.shape[2]
        arguments = (
            self.back.d_states[0], *self._shown(wanted=True), d_made,
            zone if isinstance(zone, Tensor) else d_made, *self._mask,
            t, self.batch, width,
        )  # fmt: skip
        self._narrow("narrowed_backward", arguments, width, shown=self.back.d_output is not None)


def _or(tensor: Tensor | None, other: Tensor) -> Tensor:
    """Kernels take some tensor also where they read none."""
    return other if tensor is None else tensor
