"""Sentences about memory, with the numbers of a measurement in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqlab.pages.page import written

#: Why the norm of a gradient is looked at, for those who read of it for the first time.
WHY = (
    "Training asks how the loss would change if an earlier state had been a little different. The "
    "answer goes back through one matrix a step, the Jacobian of that step. If each of them "
    "shrinks what goes through it by a factor r, what is left after k steps is r to the power k: "
    "with r = 0.9 it is 0.35 after 10 steps, 0.005 after 50. That is the vanishing gradient "
    "(Hochreiter, 1991; Bengio, Simard and Frasconi, 1994): the state of long ago still matters, "
    "but training cannot see it. Above 1 it explodes instead."
)
HALF_LIFE = (
    "The half-life is the number of further steps after which half of the gradient is left; the "
    "rate is the factor r of one step, far back; within the reach lie nine tenths of all that "
    "comes back."
)
JACOBIANS = (
    "The largest factor by which any small change of a state grows until the last step: the "
    "spectral norm of the product of all Jacobians between, exact. Where it stays near 1 there is "
    "at least one direction that is remembered, whatever the task."
)


def steps(value: float | None, longest: int) -> str:
    """A half-life for reading; None: it was not seen to fall so far.

    >>> steps(3.25, 50), steps(None, 50)
    ('3.25 steps', 'more than 50 steps')
    """
    return f"more than {longest} steps" if value is None else f"{written(value)} steps"


def memory_row(name: str, curve: list[Any], memory: Mapping[str, Any]) -> list[Any]:
    """A row of the table of memories, under ``MEMORY_HEADER``."""
    first, last = (curve[0], curve[-1]) if curve else ((0, None), (0, None))
    share = last[1] / first[1] if first[1] else None
    return [name, memory["half_life"], memory["rate"], memory["reach"], last[0], share]


MEMORY_HEADER = [
    "layer or cell",
    "half-life (steps)",
    "rate (a step)",
    "reach (steps)",
    "farthest (steps)",
    "left there",
]


def fate(memory: Mapping[str, Any]) -> str:
    """What a rate means, in a word.

    >>> fate({"rate": 0.5}), fate({"rate": 0.999}), fate({"rate": 1.2})
    ('vanishes', 'lasts', 'explodes')
    """
    rate = memory["rate"]
    if rate is None:
        return "is too short to judge"
    return "vanishes" if rate < 0.98 else "lasts" if rate <= 1.02 else "explodes"
