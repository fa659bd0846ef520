"""When compiling pays: seconds to compile against seconds saved over a run.

The numbers were measured on two cores (docs/benchmarks.md). They need not be exact: they decide
between engines that give the same results.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from seqlab.cells.base import Cell

#: Seconds to trace and compile one cell, rounded up.
COMPILE_SECONDS = 4.0


class Cost(NamedTuple):
    """Of one time step, forward and backward: seconds of its own, and floating-point rate."""

    step: float
    rate: float

    def seconds(self, steps: int, work: float) -> float:
        """The time of a call of ``steps`` steps that needs ``work`` operations."""
        return steps * self.step + work / self.rate


COMPILED = Cost(1e-5, 1.25e11)
LOOP = Cost(4e-4, 8e10)
#: By vendor kernel.
FUSED = {"lstm": Cost(1e-5, 1.45e11), "gru": Cost(1.2e-4, 1.2e11)}
_OTHER = Cost(6e-5, 1.2e11)
#: What running the padding of a masked batch adds to each step of a vendor kernel.
PADDING = 6e-5


def saving(instead: str, cell: Cell, x_BTD: Tensor, *, masked: bool) -> float:
    """Seconds that compiled code saves in one call with gradients; negative where it is slower.

    Args:
        instead: the engine that would run otherwise, ``loop`` or ``fused``.
        cell: the cell.
        x_BTD: the input.
        masked: whether some steps are masked.
    """
    batch, steps, features = x_BTD.shape
    gates = len(getattr(cell, "gates", "x"))
    work = 6.0 * batch * steps * gates * cell.hidden_size * (cell.hidden_size + features)
    other = LOOP if instead == "loop" else FUSED.get(str(cell.vendor_kernel().name), _OTHER)
    if masked and instead == "fused":
        other = other._replace(step=other.step + PADDING)
    return other.seconds(steps, work) - COMPILED.seconds(steps, work)


def pays(seconds: float) -> bool:
    """Whether saving so many seconds is worth compiling, with room for a wrong estimate."""
    return seconds >= 2 * COMPILE_SECONDS
