"""What the matrix of a memory costs in a step: it is no parameter, so no sizes of these tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import sympy
import torch

from seqlab.cells.base import Cell, first_parameter
from seqlab.cells.matrix import MatrixStateCell
from seqlab.introspection.sizes import Formula


class MemoryCost(NamedTuple):
    """The work on a matrix memory of N heads, K rows and V columns in one step of one row.

    Every item goes over all N K V entries once.

    Attributes:
        entries: N K V.
        products: what takes a multiply-add an entry: the write ``k v^T``, the read ``S^T q``, and
            with ``delta`` the read ``S^T k`` of what the write replaces.
        fades: whether the entries are multiplied by a decay first.
    """

    entries: Formula
    products: tuple[str, ...]
    fades: bool

    @property
    def multiply_adds(self) -> Formula:
        """Of all heads together."""
        return Formula(sympy.expand(len(self.products) * self.entries.expression))

    @property
    def operations(self) -> Formula:
        """Two for a multiply-add, one for a multiplication by the decay."""
        each = 2 * len(self.products) + self.fades
        return Formula(sympy.expand(each * self.entries.expression))

    def __str__(self) -> str:
        decay = f", {self.entries} multiplications by the decay" if self.fades else ""
        return f"{self.multiply_adds} ({', '.join(self.products)}){decay}"


def memory_cost(
    make: Callable[[int, int], Cell],
    probe: tuple[int, int],
    dimensions: Sequence[Formula],
) -> MemoryCost | None:
    """The cost of a cell's matrix memory as its equations stand, None for a cell without one.

    The equations are those of the loop. The ``scan`` engine takes chunks of steps, whose work grows
    with the chunk's length instead.

    Args:
        make: builds the cell from D and H.
        probe: a (D, H) at which it can be built.
        dimensions: those of the memory: N, K, V.

    Example:
        >>> H = sympy.Symbol("H")
        >>> str(MemoryCost(Formula(H * H), ("write", "read"), fades=True).operations)
        '5H²'
    """
    cell = make(*probe)
    if not isinstance(cell, MatrixStateCell):
        return None
    like = first_parameter(cell)
    with torch.no_grad():
        x = torch.zeros(1, 1, cell.input_size, dtype=None if like is None else like.dtype)
        fades = cell.writes(x).log_decay is not None
    products = ("write", "read", *(("read of what is replaced",) if cell.delta else ()))
    return MemoryCost(
        Formula(sympy.expand(sympy.prod(size.expression for size in dimensions))), products, fades
    )
