"""The launches of one step's kernels, forward and backward, and the memory they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seqlab.engines.traced.engine import Form, Masks
from seqlab.engines.triton import row_kernels
from seqlab.engines.triton.cell_kernels import REALS, StepKernels
from seqlab.engines.triton.tiling import Place, divided, row_tiles, step_tiles
from seqlab.engines.triton_launch import Launcher

#: The kernels around a step's equations.
ROW_KERNELS = {
    kernel.__name__: Launcher(kernel)
    for kernel in (row_kernels.normalise, row_kernels.normalise_backward, row_kernels.narrowed,
                   row_kernels.narrowed_backward)
}  # fmt: skip


class StepLaunches:
    """What one run launches; what all its steps have in common is worked out once.

    Args:
        kernels: those of the cell.
        hidden: H.
        masks: of the run.
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
        self._state = [*history, *own, *[zone.contiguous() for zone in masks.zoneout]]
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
        self._launch(self.kernels.module[name], arguments, shown=shown)

    def _launch(self, kernel: Launcher, arguments: tuple[Any, ...], *, shown: bool) -> None:
        grid, key = self._grid(self.hidden), (*self._key, shown)
        kernel(grid, arguments, key, lambda: {"GRADED": shown, **self._common})

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
        equations = self.kernels.equations
        first, last = (start * self.hidden for start in equations.starts[product : product + 2])
        rows, block, warps = row_tiles(last - first, self.batch, self._place)
        width = equations.gates * self.hidden
        sizes = (t, self.batch, first, last - first, width, product, equations.products)
        tiles = {"ROWS": rows, "BLOCK": block, "REAL": self._fixed["REAL"], "num_warps": warps}
        key = (*self._key, *sizes[3:5], equations.products, rows, block, *constants.values())
        grid = (divided(self.batch, rows),)
        ROW_KERNELS[name](grid, (*tensors, *sizes), key, lambda: {**constants, **tiles})

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
            zone.contiguous() if isinstance(zone, Tensor) else made, *self._mask,
            t, old[0], new[0], self.batch, width,
        )  # fmt: skip
        self._narrow("narrowed", arguments, width, shown=self.output is not None)

    def _narrow(self, name: str, arguments: tuple[Any, ...], width: int, *, shown: bool) -> None:
        constants = {"GRADED": shown, **self._zone, **self._fixed}
        key = (*self._key, width, shown, *self._zone.values())
        ROW_KERNELS[name](self._grid(width), arguments, key, lambda: constants)

    # -- backward ----------------------------------------------------------------------------

    def start_back(self, d_output: Tensor | None, d_states: Sequence[Tensor], inner: int) -> None:
        """Memory for the gradients; ``d_states`` hold those of the final state."""
        equations, like = self.kernels.equations, self.history[0]
        if d_output is not None and d_output.stride(2) != 1:
            d_output = d_output.contiguous()
        self.d_output, self.d_states = d_output, d_states
        steps, batch, hidden = self.steps, self.batch, self.hidden
        self.d_h = like.new_empty(steps, batch, equations.gates * hidden)
        shape = (steps, batch, equations.inputs * hidden)
        self.d_x = self.d_h if self.kernels.source.same else like.new_empty(shape)
        self.d_vector, self.d_wide = like.new_empty(batch, hidden), like.new_empty(batch, hidden)
        self.d_inner = like.new_empty(batch, inner)
        groups = divided(batch, self._rows)
        self.d_own = [like.new_zeros(groups, hidden) for _ in equations.parameters]
        if equations.normalised:
            rows = row_tiles(1, batch, self._place)[0]
            sums = like.new_zeros(2, divided(batch, rows), self.d_h.shape[2])
            self.d_gain, self.d_bias = sums.unbind()

    def _shown(self, *, wanted: bool) -> tuple[Any, int, int]:
        """The output's gradient and its strides."""
        if self.d_output is None or not wanted:
            return self.nothing, 0, 0
        return self.d_output, self.d_output.stride(0), self.d_output.stride(1)

    def update_back(self, t: int) -> None:
        """Gradients of the equations' inputs and of the states before the step."""
        self._equations_back("update_backward", t, self.nothing)

    def vector_back(self, product: int, t: int, d_vector: Tensor) -> None:
        """Those of what a later product multiplied are added."""
        self._equations_back(f"vector{product}_backward", t, d_vector)

    def _equations_back(self, name: str, t: int, d_vector: Tensor) -> None:
        shown = not self.kernels.equations.narrows
        arguments = (
            *self._mask, self.wide, self._saved, *self._state, *self._shown(wanted=shown),
            d_vector, self.d_wide, self.d_x, self.d_h, *self.d_states, *self.d_own,
            *self._times(t),
        )  # fmt: skip
        shown = shown and self.d_output is not None
        self._launch(self.kernels.module[name], arguments, shown=shown)

    def normalise_back(self, product: int, t: int) -> None:
        """The gradients of a product's gates become those of the product."""
        if self.gain is None:
            return
        tensors = (self.d_h, self.gain, self.unit, self.scale, self.d_gain, self.d_bias)
        self._normalised("normalise_backward", product, t, tensors)

    def narrowed_back(self, t: int, d_made: Tensor) -> None:
        """What the matrix made takes its part of the gradient."""
        zone, width = self.masks.narrowed, d_made.shape[2]
        arguments = (
            self.d_states[0], *self._shown(wanted=True), d_made,
            zone.contiguous() if isinstance(zone, Tensor) else d_made, *self._mask,
            t, self.batch, width,
        )  # fmt: skip
        self._narrow("narrowed_backward", arguments, width, shown=self.d_output is not None)


def _or(tensor: Tensor | None, other: Tensor) -> Tensor:
    """Kernels take some tensor also where they read none."""
    return other if tensor is None else tensor
