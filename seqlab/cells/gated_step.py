"""One step of a gated cell: its matrix products, the equations between them, what stands around."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlab.cells.base import Cell, map_state, next_state
from seqlab.cells.declaration import Product, gate_tuple
from seqlab.cells.modifiers import Modifier, apply_modifier
from seqlab.cells.noise import Noise, draw_noise
from seqlab.cells.products import (
    input_product,
    recurrent_product,
    weight_of_steps,
    whole_matrix,
)
from seqlab.cells.zoneout import zone_out
from seqlab.types import State as StateTree


class GatedStep(Cell):
    """What a ``GatedCell`` does in a step; that class has the declaration, weights and options."""

    options_for_all: ClassVar[tuple[str, ...]] = ()  # it has them and more, by ``**options``
    wraps_options = False
    input_gates: tuple[str, ...]
    recurrent_gates: tuple[str, ...]
    raw: Any
    chain: tuple[Product, ...]
    heads: int
    zoneout: tuple[float, ...]
    projects_state: ClassVar[bool]
    weight_ih: nn.Parameter
    weight_hh: nn.Parameter
    weight_hr: nn.Parameter | None
    modifier: Modifier | None

    # -- what an author writes ---------------------------------------------------------------

    @abstractmethod
    def update(self, x: Any, h: Any, state: Any) -> tuple[Tensor, Any]:
        """The equations: elementwise, pure, with no parameters but ``vectors`` and ``scalars``.

        Args:
            x: a named tuple of the gates' input parts and of the ``raw`` inputs, each ``[B, H]``.
            h: a named tuple of the gates' recurrent parts, each ``[B, H]``.
            state: the ``State`` before the step.

        Returns:
            The output ``[B, H]`` and the next ``State``.
        """

    def second_input(self, x: Any, h: Any, state: Any) -> Tensor:
        """What the second recurrent product multiplies, ``[B, H]``; elementwise and pure.

        ``h`` holds the gates of the first product only.
        """
        raise NotImplementedError(f"{type(self).__name__} has second_gates but no second_input")

    def input_matrix(self) -> Tensor:
        """The matrix ``[G*H, D]`` of the input product, once a run; here ``weight_ih``."""
        return self.weight_ih

    def recurrent_matrix(self) -> Tensor:
        """The matrix ``[G*H, P]`` of the recurrent products, once a run; None without any.

        Here ``weight_hh``, or the block-diagonal matrix of ``heads``. A subclass may make it of
        parameters in any differentiable way; initializers, regularizers and constraints act on
        the parameters.
        """
        return whole_matrix(self, self.weight_hh)

    def recurrent_weight(self) -> Tensor:
        """What a run multiplies by: ``recurrent_matrix``, or the blocks ``[G*H, H / heads]`` of it.

        None where there is no such matrix.
        """
        return self.recurrent_matrix() if self.heads == 1 else self.weight_hh

    # -- running -----------------------------------------------------------------------------

    def sample_noise(
        self, batch_size: int, steps: int, *, device: torch.device, dtype: torch.dtype
    ) -> Noise | None:
        """The masks of one sequence: input, recurrent, recurrent matrix, zoneout."""
        if not self.training:
            return None
        return draw_noise(self, batch_size, steps, device=device, dtype=dtype)

    @property
    def input_type(self) -> Any:
        """The named tuple ``x``; made at run time, so it is looked up and never kept."""
        return gate_tuple((*self.input_gates, *self.raw))

    @property
    def recurrent_type(self) -> Any:
        """The named tuple ``h`` of all recurrent gates."""
        return gate_tuple(self.recurrent_gates)

    def project(self, x_BTD: Tensor, noise: Noise | None = None) -> Tensor:
        """``W_ih x + b`` for all times in one matrix product, and raw inputs: ``[B, T, G*H]``."""
        return input_product(self, x_BTD, None if noise is None else noise.input_mask)

    def step(
        self,
        projected_t: Tensor,
        state: StateTree,
        noise: Noise | None = None,
        multiplied: Tensor | None = None,
    ) -> tuple[Tensor, StateTree]:
        """One step; ``projected_t`` is ``[B, G*H]``. Without noise it is deterministic.

        ``multiplied`` takes the place of the state's first field in the recurrent products, and
        there alone: the equations are given the state as it is.
        """
        weight = weight_of_steps(self, self.recurrent_weight())
        return self.step_with(weight, projected_t, state, noise, multiplied)

    def stepper(self) -> Callable[..., tuple[Tensor, StateTree]]:
        """``step`` for one run, with the recurrent matrix made once."""
        if type(self).step is not GatedStep.step or self.weight_hh is None:
            return self.step
        weight = weight_of_steps(self, self.recurrent_weight())
        return functools.partial(self.step_with, weight)

    def step_with(
        self,
        weight: Tensor,
        projected_t: Tensor,
        state: StateTree,
        noise: Noise | None = None,
        multiplied: Tensor | None = None,
    ) -> tuple[Tensor, StateTree]:
        """``step`` with this recurrent matrix ``[G*H, P]``, as ``weight_of_steps`` has it."""
        x = self.input_type(*projected_t.chunk(len(self.input_gates) + len(self.raw), -1))
        mask = None
        if noise is not None:
            mask = noise.recurrent_mask
            if noise.weight_mask is not None:
                weight = weight * weight_of_steps(self, noise.weight_mask)
        seen = state if multiplied is None else type(state)(multiplied, *state[1:])
        made: list[Tensor] = []
        for product in self.chain:
            if product.gates:
                known = gate_tuple(self.recurrent_gates[: len(made)])(*made)
                start, count = len(made), len(product.gates)
                rows = slice(start * self.hidden_size, (start + count) * self.hidden_size)
                vector = product.vector(self, x, known, seen)
                made += recurrent_product(self, vector, weight, mask, rows)
        h = self.recurrent_type(*made)
        output, new = next_state(self, self.update(*self.modified(x, h, state), state), state)
        return self._finish(output, new, state, noise)

    def modified(self, x: Any, h: Any, state: Any) -> tuple[Any, Any]:
        """The gates' parts as ``update``, and what further products multiply, are given them."""
        if self.modifier is None:
            return x, h
        return apply_modifier(self.modifier, x, h, state)

    def _finish(
        self, output: Tensor, new: Any, old: Any, noise: Noise | None
    ) -> tuple[Tensor, Any]:
        """What stands around the equations: projection and zoneout."""
        if self.weight_hr is not None and self.projects_state:
            output = F.linear(output, self.weight_hr)
            new = self.State(output, *new[1:])
        if any(self.zoneout):
            keep = None if noise is None else noise.zoneout
            output, new = zone_out(output, new, old, self.zoneout, keep)
        if self.weight_hr is not None and not self.projects_state:
            output = F.linear(output, self.weight_hr)
        # products under autocast are of fewer digits
        if any(a.dtype != b.dtype for a, b in zip(new, old, strict=True)):
            new = map_state(lambda after, before: after.to(before.dtype), new, old)
        return output, new
