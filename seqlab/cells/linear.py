"""Recurrences that are linear in their state, so that all times can be computed in parallel."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlab.cells.around import OptionNoise, dropped
from seqlab.cells.base import Cell, HiddenState, first_parameter, widened
from seqlab.schema import Count, checked


class Coefficients(NamedTuple):
    """What the recurrence needs of the input: the input itself, ``a`` and ``b``."""

    x: Tensor
    a: Tensor
    b: Tensor


class LinearRecurrentCell(Cell):
    """A cell with ``h_t = a_t * h_{t-1} + b_t``, where a and b come from the input alone.

    A subclass writes ``coefficients`` and, where the output is not the state, ``readout``. Both
    see whole sequences; the step of streaming is their case T = 1.

    With zoneout the recurrence stays linear, so every engine takes it: where the mask k, 0 or 1,
    keeps the old value, it is ``a' = k + (1 - k) a`` and ``b' = (1 - k) b``, and outside training
    the rate takes k's place. ``readout`` sees the state after it.

    Class attributes:
        complex_state: True if a, b and h are complex. The state is then kept as ``[B, 2 S]``
            real numbers, real parts first, so that everything around the cell stays real.

    Args:
        input_size: D.
        hidden_size: H.
        dropout: rate on the input, also where ``readout`` sees it; one mask for all steps of a
            sequence.
        zoneout: probability that a unit keeps its old state (Krueger et al., 2017).

    Example:
        >>> class Average(LinearRecurrentCell):
        ...     def coefficients(self, x_BTD):
        ...         return torch.full_like(x_BTD, 0.5), 0.5 * x_BTD
        >>> cell = Average(2, 2)
        >>> once = Coefficients(*(part[:, 0] for part in cell.project(torch.ones(1, 1, 2))))
        >>> output, state = cell.step(once, cell.initial_state(1))
        >>> output.tolist()
        [[0.5, 0.5]]
    """

    State = HiddenState
    wraps_options = False
    complex_state: ClassVar[bool] = False

    @abstractmethod
    def coefficients(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """``a`` and ``b``, each ``[B, T, S]``, of each step from its own input."""

    def readout(self, x_BTD: Tensor, h_BTH: Tensor) -> Tensor:
        """The output ``[B, T, output_size]`` from inputs and states; here the state."""
        del x_BTD
        return h_BTH

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """H, or 2 H for a complex state."""
        return (self.hidden_size * (2 if self.complex_state else 1),)

    def zoneout_shapes(self) -> list[tuple[int, ...]]:
        """One number a unit, also of complex states."""
        return [(self.state_sizes[0] // (2 if self.complex_state else 1),)]

    def project(self, x_BTD: Tensor, noise: OptionNoise | None = None) -> Coefficients:
        """The input, behind dropout, with its coefficients after zoneout, for all times at once."""
        x_BTD = dropped(x_BTD, noise)
        a, b = self.coefficients(x_BTD)
        (rate,) = self.option_rates.zoneout
        if not rate:
            return Coefficients(x_BTD, a, b)
        new = None if noise is None else noise.kept()
        if new is None:
            return Coefficients(x_BTD, rate + (1 - rate) * a, (1 - rate) * b)
        return Coefficients(x_BTD, torch.where(new, a, 1.0), torch.where(new, b, 0.0))

    def step(
        self, projected_t: Coefficients, state: HiddenState, noise: Any = None
    ) -> tuple[Tensor, HiddenState]:
        """``h = a h + b`` and its readout."""
        del noise  # it is in the coefficients
        x, a, b = projected_t
        hidden = a * self.unpack(state.hidden) + b
        output = self.readout(x.unsqueeze(1), hidden.unsqueeze(1)).squeeze(1)
        return output, HiddenState(self.pack(hidden))

    def pack(self, hidden: Tensor) -> Tensor:
        """States as they are kept: complex ones as real parts, then imaginary parts.

        These have the parameters' type, also where that is a half precision.
        """
        if not self.complex_state:
            return hidden
        kept, like = torch.cat([hidden.real, hidden.imag], -1), first_parameter(self)
        return kept if like is None else kept.to(like.dtype)

    def unpack(self, kept: Tensor) -> Tensor:
        """States as the equations use them; complex numbers are of float32 or wider parts."""
        if not self.complex_state:
            return kept
        return torch.complex(*kept.to(widened(kept.dtype)).chunk(2, -1))


class GatedLinearCell(LinearRecurrentCell):
    """A linear recurrence whose coefficients are gates of the input: one matrix, one bias.

    A subclass names its ``gates``; ``gate(x, name, ...)`` gives ``W_name x + b_name`` of each.

    Parameters: ``weight [G*H, D]`` and ``bias [G*H]``, gates in the order of ``gates``.

    Args:
        input_size: D.
        hidden_size: H.
        use_bias: whether there are biases.
        **options: ``dropout`` and ``zoneout``, as for ``LinearRecurrentCell``.
    """

    gates: tuple[str, ...] = ()
    made_in_setup = ("weight", "bias")

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, *, use_bias: bool = True, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.use_bias = use_bias

    def make_parameters(self) -> None:
        """The matrix and the bias of all gates."""
        rows = len(self.gates) * self.hidden_size
        self.weight = nn.Parameter(torch.empty(rows, self.input_size))
        self.bias = nn.Parameter(torch.empty(rows)) if self.use_bias else None

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Glorot-uniform matrices for each gate (Glorot and Bengio, 2010), zero biases."""
        for part in self.weight.chunk(len(self.gates)):
            nn.init.xavier_uniform_(part)
        if self.bias is not None:
            self.bias.zero_()

    def gate(self, x_BTD: Tensor, first: str, last: str | None = None) -> tuple[Tensor, ...]:
        """Values of the gates from ``first`` to ``last``, ``[B, T, H]`` each, in one product."""
        start = self.gates.index(first)
        stop = self.gates.index(first if last is None else last) + 1
        rows = slice(start * self.hidden_size, stop * self.hidden_size)
        bias = None if self.bias is None else self.bias[rows]
        return F.linear(x_BTD, self.weight[rows], bias).chunk(stop - start, -1)
