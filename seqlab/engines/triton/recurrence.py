"""One run of a cell's kernels over time-major tensors, forward and backward."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from seqlab.cells.products import spread_heads
from seqlab.engines.traced.blocks import blocks_of
from seqlab.engines.traced.engine import Form, Masks
from seqlab.engines.traced.histories import states_after, states_before
from seqlab.engines.traced.weight_gradient import Multiplied, weight_gradient
from seqlab.engines.triton.cell_kernels import REALS, Kernels
from seqlab.engines.triton.tiling import MOST_GROUPS, Place, Tiles, tiles
from seqlab.engines.triton_launch import Launcher
from seqlab.engines.triton_presence import launching_on


@dataclass
class TritonRun:
    """One run over a sequence: the form of its launches, and the memory they fill."""

    kernels: Kernels
    hidden: int
    masks: Masks
    form: Form
    place: Place
    tiling: Tiles = field(init=False)
    blocks: int = field(init=False)
    weight: Tensor = field(init=False)
    own: list[Tensor] = field(init=False)
    history: list[Tensor] = field(init=False)
    second: Tensor | None = None
    saved: Tensor | None = None

    def project(self, weight: Tensor, bias: Tensor | None) -> None:
        """No kernel of it does."""
        raise NotImplementedError

    def forward(
        self, x_TBG: Tensor, tensors: Sequence[Tensor | None]
    ) -> tuple[Tensor, list[Tensor]]:
        """See ``KernelRun``."""
        equations = self.kernels.equations
        weight, bias, _, *rest = tensors
        self.blocks = blocks_of(weight, self.hidden)
        size = self.hidden // self.blocks
        states = [s for s in rest[: equations.states] if s is not None]
        # without recurrent gates no kernel reads it
        self.weight = x_TBG.new_empty(1) if weight is None else weight.contiguous()
        gates = max(1, equations.gates)
        self.tiling = tiles(self.hidden, gates, self.place, size if self.blocks > 1 else None)
        self.own = [t for t in rest[equations.states + 1 :] if t is not None]
        steps, batch = x_TBG.shape[:2]
        x_TBG = x_TBG if x_TBG.stride(2) == 1 else x_TBG.contiguous()
        self.history = [x_TBG.new_empty(steps + 1, batch, self.hidden) for _ in states]
        finals = [x_TBG.new_empty(batch, self.hidden) for _ in states]
        masked = self.masks.real is not None
        field_ = None if masked else self.kernels.source.output_field
        output = x_TBG.new_empty(steps, batch, self.hidden) if field_ is None else None
        if equations.later:
            self.second = x_TBG.new_empty(steps, batch, self.hidden)
        count = self.kernels.source.saved
        if self.form.keep and count:
            self.saved = x_TBG.new_empty(steps, batch, count * self.hidden)
        nothing = self.weight
        self._launch(
            self.kernels.forward, steps, batch,
            x_TBG, x_TBG.stride(0), x_TBG.stride(1), self.weight,
            nothing if bias is None else bias.contiguous(), *self._masks(),
            self._counter(batch), nothing if output is None else output,
            nothing if self.second is None else self.second,
            nothing if self.saved is None else self.saved,
            *self.history, *[s.contiguous() for s in states], *finals, *self.own, *self._zones(),
            BIASED=bias is not None, SAVED=self.saved is not None, GRADED=output is not None,
        )  # fmt: skip
        if output is None:
            assert field_ is not None  # noqa: S101  # one of the two
            output = states_after(self.history[field_], reverse=self.form.reverse)
        return output, finals

    def backward(
        self, grads: Sequence[Tensor | None], needed: Sequence[bool]
    ) -> list[Tensor | None]:
        """See ``KernelRun``."""
        equations, like = self.kernels.equations, self.history[0]
        steps, batch = like.shape[0] - 1, like.shape[1]
        d_output, *d_finals = grads
        if d_output is not None and d_output.stride(2) != 1:
            d_output = d_output.contiguous()
        d_h = like.new_empty(steps, batch, equations.gates * self.hidden)
        shape = (steps, batch, equations.inputs * self.hidden)
        d_x = d_h if self.kernels.source.same else like.new_empty(shape)
        d_starts = [like.new_empty(batch, self.hidden) for _ in self.history]
        given = d_starts
        if any(d is not None for d in d_finals):
            zero = like.new_zeros(batch, self.hidden)
            given = [zero if d is None else d.contiguous() for d in d_finals]
        groups, trained = self.tiling.groups(batch), len(equations.parameters)
        d_own = [like.new_empty(groups, self.hidden) for _ in range(trained)]
        nothing = self.weight
        self._launch(
            self.kernels.backward, steps, batch,
            self.weight, *self._masks(), self._counter(batch),
            nothing if self.saved is None else self.saved,
            *self.history, *self.own, *self._zones(),
            nothing if d_output is None else d_output,
            *((0, 0) if d_output is None else d_output.stride()[:2]),
            d_x, d_h if equations.gates else d_x, *given, *d_starts, *d_own,
            SAVED=self.saved is not None, GRADED=d_output is not None,
            FINALS=given is not d_starts,
        )  # fmt: skip
        if needed[3] and equations.first_gates:
            d_starts[0] += self._through_the_matrix(d_h[steps - 1 if self.form.reverse else 0])
        d_weight = self._weight_gradient(d_h) if needed[0] else None
        d_bias = d_h.flatten(0, 1).sum(0) if needed[1] else None
        buffers = [None] * len(equations.buffers)
        found = [d_x, d_weight, d_bias, None, *d_starts, None, *[d.sum(0) for d in d_own], *buffers]
        return [d if index == 0 or needed[index - 1] else None for index, d in enumerate(found)]

    # -- launches ----------------------------------------------------------------------------

    def _launch(
        self, kernel: Launcher, steps: int, batch: int, *arguments: Any, **constants: bool
    ) -> None:
        programs, groups = self.tiling.programs(self.hidden), self.tiling.groups(batch)
        # programs that meet must all run at once
        most = max(1, self.place.processors // programs) if programs > 1 else MOST_GROUPS
        weight, size = self.weight, self.hidden // self.blocks
        drops = 0 if self.masks.drop is None else self.masks.drop.shape[1]
        form = self.form.reverse, self.masks.real is not None, drops
        key = (weight.device, weight.dtype, self.hidden, size, *form, self.tiling,
               self.place.precision, *constants.values())  # fmt: skip
        given = functools.partial(self._constants, form, constants)
        with launching_on(weight.device):
            for first in range(0, groups, most):
                grid = programs, min(most, groups - first)
                numbers = steps, batch, self.hidden, size, first
                kernel(grid, (*arguments, *numbers), key, given)

    def _constants(
        self, form: tuple[bool, bool, int], constants: dict[str, bool]
    ) -> dict[str, Any]:
        rows, units, depth, resident, warps = self.tiling
        together = self.tiling.programs(self.hidden) > 1
        return {
            "BIASED": False, "FINALS": False, **constants,
            **dict(zip(("REVERSE", "MASKED", "DROPS"), form, strict=True)),
            "ROWS": rows, "UNITS": units, "DEPTH": depth, "RESIDENT": resident,
            "LOCAL": resident and not together, "GRID": together,
            "PRECISION": self.place.precision, "REAL": REALS[self.weight.dtype],
            "num_warps": warps, "num_stages": 1, "launch_cooperative_grid": together,
        }  # fmt: skip

    def _masks(self) -> tuple[Any, ...]:
        """Mask, its strides, and the dropout of what the matrix multiplies."""
        real, drop = self.masks.real, self.masks.drop
        mask = self.weight if real is None else real.view(torch.uint8)
        strides = (0, 0) if real is None else real.stride()
        return (mask, *strides, self.weight if drop is None else drop.contiguous())

    def _zones(self) -> list[Tensor]:
        return [zone.contiguous() for zone in self.masks.zoneout]

    def _counter(self, batch: int) -> Tensor:
        """Where the programs of each group count who has arrived; one alone meets nobody."""
        if self.tiling.programs(self.hidden) == 1:
            return self.weight
        groups = self.tiling.groups(batch)
        return torch.zeros(groups, dtype=torch.int32, device=self.weight.device)

    # -- what is left of the gradients -------------------------------------------------------

    def _through_the_matrix(self, d_gates: Tensor) -> Tensor:
        """The gradient of what the first product multiplied, at one time."""
        equations = self.kernels.equations
        rows = equations.first_gates * self.hidden
        drop, weight = self.masks.drop, self.weight[:rows]
        if self.blocks > 1:
            weight = spread_heads(weight, self.hidden, self.blocks)
        if drop is None:
            return d_gates[:, :rows] @ weight
        shape = (-1, equations.first_gates, self.hidden)
        gates = (
            d_gates[:, :rows].reshape(shape),
            weight.reshape(*shape[1:], self.hidden),
        )
        terms = torch.einsum("bgh,ghp->bgp", *gates)
        factors = drop if drop.shape[1] == 1 else drop[:, : terms.shape[1]]
        return (terms * factors).sum(1)

    def _weight_gradient(self, d_h: Tensor) -> Tensor:
        """As the matrix: whole, or its blocks."""
        starts = self.kernels.equations.starts
        before = states_before(self.history[0], reverse=self.form.reverse)
        vectors = [before] if self.second is None else [before, self.second]
        multiplied = [
            Multiplied(starts[i], starts[i + 1], vector)
            for i, vector in enumerate(vectors)
            if starts[i] < starts[i + 1]
        ]
        return weight_gradient(d_h, multiplied, self.hidden, self.masks.drop, self.blocks)
