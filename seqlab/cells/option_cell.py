"""The options that need neither gates nor matrices, for cells that are not gated."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqlab.cells.base import Cell, map_state, next_state, state_fields
from seqlab.cells.noise import dropout_mask
from seqlab.cells.zoneout import zone_out, zoneout_rates
from seqlab.schema import Count, Fraction, checked
from seqlab.types import State as StateTree


class StepNoise(NamedTuple):
    """The masks of an ``OptionCell``; None where there is nothing.

    ``input_mask`` is ``[B, 1, D]``, ``zoneout`` for each state field ``[T, B, width]`` (``[B,
    width]`` after ``at``).
    """

    input_mask: Tensor | None = None
    zoneout: tuple[Tensor | None, ...] | None = None

    def at(self, t: int) -> StepNoise:
        """The masks of step ``t``."""
        if self.zoneout is None:
            return self
        return self._replace(zoneout=tuple(None if z is None else z[t] for z in self.zoneout))


class OptionCell(Cell):
    """A cell of any equations with dropout on its input and zoneout of its state.

    A subclass writes ``advance``, one step, and where something can be done for all steps at once
    ``prepare``; its ``State`` has the widths of ``state_sizes``.

    Args:
        input_size: D.
        hidden_size: H.
        dropout: rate on the input; one mask for all steps of a sequence.
        zoneout: probability that a unit keeps its old state (Krueger et al., 2017): a number, or
            one per state field; its expectation is used outside training.

    Raises:
        OptionError: ``zoneout`` names no field of the state.

    Example:
        >>> from seqlab.cells.base import HiddenState
        >>> class Leaky(OptionCell):
        ...     def advance(self, projected_t, state):
        ...         hidden = 0.9 * state.hidden + 0.1 * projected_t
        ...         return hidden, HiddenState(hidden)
        >>> cell = Leaky(2, 2, zoneout=0.5).eval()
        >>> output, _ = cell.step(torch.ones(1, 2), cell.initial_state(1))
        >>> output.tolist()
        [[0.05000000074505806, 0.05000000074505806]]
    """

    @checked
    def __init__(
        self,
        input_size: Count,
        hidden_size: Count,
        *,
        dropout: Fraction = 0.0,
        zoneout: Fraction | Mapping[str, Fraction] = 0.0,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.dropout, self._zoneout_asked = dropout, zoneout

    def setup(self) -> None:
        """Read ``zoneout``, which may name fields of the state; then as ``Cell``."""
        self.zoneout = zoneout_rates(self._zoneout_asked, state_fields(self.State))
        super().setup()

    def prepare(self, x_BTD: Tensor) -> Any:
        """The part of the step that needs no state, for all times at once; here the identity."""
        return x_BTD

    @abstractmethod
    def advance(self, projected_t: Any, state: Any) -> tuple[Tensor, Any]:
        """One step: ``prepare(x)[:, t]`` and the state before it, to the output and the next."""

    def sample_noise(
        self, batch_size: int, steps: int, *, device: torch.device, dtype: torch.dtype
    ) -> StepNoise | None:
        """The masks of one sequence; see ``Cell.sample_noise``."""
        if not self.training or not any((self.dropout, *self.zoneout)):
            return None
        like = torch.empty(0, device=device, dtype=dtype)
        keep = tuple(
            dropout_mask(like, (steps, batch_size, width), rate, scale=False)
            for width, rate in zip(self.state_sizes, self.zoneout, strict=True)
        )
        mask = dropout_mask(like, (batch_size, 1, self.input_size), self.dropout)
        return StepNoise(mask, keep if any(self.zoneout) else None)

    def project(self, x_BTD: Tensor, noise: StepNoise | None = None) -> Any:
        """``prepare`` of the input, behind dropout."""
        mask = None if noise is None else noise.input_mask
        return self.prepare(x_BTD if mask is None else x_BTD * mask)

    def step(
        self, projected_t: Any, state: StateTree, noise: StepNoise | None = None
    ) -> tuple[Tensor, StateTree]:
        """``advance``, and zoneout of what it gives."""
        output, new = next_state(self, self.advance(projected_t, state), state)
        if any(self.zoneout):
            keep = None if noise is None else noise.zoneout
            output, new = zone_out(output, new, state, self.zoneout, keep)
        # products under autocast are of fewer digits
        return output, map_state(lambda after, before: after.to(before.dtype), new, state)
