"""How parameters grow with the sizes of a cell: formulas in D and H, fitted to real instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import sympy

#: Sizes (D, H) at which a cell is built: three fix a formula, the fourth checks it.
PROBES = ((3, 5), (11, 5), (3, 17), (7, 13))
_D, _H = sympy.symbols("D H")
_POWERS = {0: "", 1: "", 2: "²", 3: "³", 4: "⁴"}


class Formula(NamedTuple):
    """A polynomial in D and H.

    >>> D, H = sympy.symbols("D H")
    >>> str(Formula(4 * H * (H + D + 1)))
    '4H² + 4HD + 4H'
    """

    expression: sympy.Expr

    def __call__(self, input_size: int, hidden_size: int) -> int:
        """The value at D and H."""
        return int(self.expression.subs({_D: input_size, _H: hidden_size}))

    def __str__(self) -> str:
        terms = sympy.Poly(self.expression, _H, _D).terms(order="grlex")
        return " + ".join(_term(powers, int(n)) for powers, n in terms).replace("+ -", "- ")


class Parameter(NamedTuple):
    """One parameter: its name and the formulas of its dimensions."""

    name: str
    shape: tuple[Formula, ...]

    @property
    def numbers(self) -> Formula:
        """The number of its numbers."""
        return Formula(sympy.prod(size.expression for size in self.shape))


def parameter_formulas(make: Callable[[int, int], Any]) -> list[Parameter]:
    """The parameters of a cell, with their shapes as formulas.

    Args:
        make: builds the cell from D and H.

    Returns:
        The parameters in the order of the cell's own.

    Raises:
        ValueError: a dimension is not a whole multiple of D plus one of H plus a number.

    Example:
        >>> from seqlab.cells.rnn import RNNCell
        >>> [(p.name, str(p.numbers)) for p in parameter_formulas(RNNCell)]
        [('weight_ih', 'HD'), ('weight_hh', 'H²'), ('bias', 'H')]
    """
    shapes = [
        {name: tuple(value.shape) for name, value in make(*sizes).named_parameters()}
        for sizes in PROBES
    ]
    found = []
    for name in shapes[0]:
        seen = [shape.get(name, ()) for shape in shapes]
        if len({len(shape) for shape in seen}) != 1:
            raise ValueError(f"{name} has another number of dimensions at other sizes")
        dimensions = zip(*seen, strict=True)
        found.append(Parameter(name, tuple(fit(name, values) for values in dimensions)))
    return found


def total(parameters: list[Parameter], *, dimensions: int | None = None) -> Formula:
    """The number of all numbers, or of those of parameters with so many dimensions."""
    counted = [p for p in parameters if dimensions in {None, len(p.shape)}]
    return Formula(sympy.Add(*(p.numbers.expression for p in counted)))


def fit(name: str, values: tuple[int, ...]) -> Formula:
    """The formula of one size, from its values at ``PROBES``."""
    rows = sympy.Matrix([(d, h, 1) for d, h in PROBES[:3]])
    factors = rows.LUsolve(sympy.Matrix(values[:3]))
    fitted = Formula(factors.dot((_D, _H, 1)))
    if not all(n.is_Integer for n in factors) or [fitted(*p) for p in PROBES] != list(values):
        raise ValueError(f"{name} has sizes {values} at (D, H) = {PROBES}, which is no formula")
    return fitted


def _term(powers: tuple[int, int], number: int) -> str:
    letters = "".join(
        letter + _POWERS.get(power, f"^{power}")
        for letter, power in zip("HD", powers, strict=True)
        if power
    )
    factor = {1: "", -1: "-"}.get(number, str(number)) if letters else str(number)
    return factor + letters
