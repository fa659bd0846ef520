"""How parameters grow with the sizes of a cell: formulas in D and H, fitted to real instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import sympy

from seqlab.errors import OptionError

#: Sizes (D, H) at which a cell is built: three fix a formula, the fourth checks it.
PROBES = ((3, 5), (11, 5), (3, 17), (7, 13))
#: The same for a cell whose input must be as wide as its state: formulas in H alone.
SQUARES = ((5, 5), (17, 17), (13, 13))
#: What both are multiplied by in turn, for a cell whose heads or parts must divide them.
SCALES = (1, 2, 3, 4, 5, 6, 8, 12, 16, 32)
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
        return " + ".join(_term(powers, n) for powers, n in terms).replace("+ -", "- ")


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
    probes = probes_of(make)
    shapes = [
        {name: tuple(value.shape) for name, value in make(*sizes).named_parameters()}
        for sizes in probes
    ]
    found = []
    for name in shapes[0]:
        seen = [shape.get(name, ()) for shape in shapes]
        if len({len(shape) for shape in seen}) != 1:
            raise ValueError(f"{name} has another number of dimensions at other sizes")
        dimensions = zip(*seen, strict=True)
        found.append(Parameter(name, tuple(fit(name, values, probes) for values in dimensions)))
    return found


def total(parameters: list[Parameter], *, dimensions: int | None = None) -> Formula:
    """The number of all numbers, or of those of parameters with so many dimensions."""
    counted = [p for p in parameters if dimensions in {None, len(p.shape)}]
    return Formula(sympy.Add(*(p.numbers.expression for p in counted)))


def probes_of(make: Callable[[int, int], Any]) -> tuple[tuple[int, int], ...]:
    """The sizes at which a cell is built: ``PROBES``, or others where these are refused.

    Raises:
        OptionError: all are refused; the message is that of the first.
    """
    refused: OptionError | None = None
    for scale in SCALES:
        for probes in (PROBES, SQUARES):
            scaled = tuple((d * scale, h * scale) for d, h in probes)
            try:
                for sizes in scaled:
                    make(*sizes)
            except OptionError as error:
                refused = refused or error
            else:
                return scaled
    assert refused is not None  # noqa: S101  # there are scales
    raise refused


def fit(name: str, values: tuple[int, ...], probes: tuple[tuple[int, int], ...]) -> Formula:
    """The formula of one size, from its values at the probes; the last of them checks it."""
    letters = [_D, _H, 1] if any(d != h for d, h in probes) else [_H, 1]
    points = [(d, h, 1) if len(letters) == 3 else (h, 1) for d, h in probes[:-1]]
    factors = sympy.Matrix(points).LUsolve(sympy.Matrix(values[:-1]))
    fitted = Formula(factors.dot(letters))
    if [fitted.expression.subs({_D: d, _H: h}) for d, h in probes] != list(values):
        raise ValueError(f"{name} has sizes {values} at (D, H) = {probes}, which is no formula")
    return fitted


def _term(powers: tuple[int, int], number: sympy.Rational) -> str:
    letters = "".join(
        letter + _POWERS.get(power, f"^{power}")
        for letter, power in zip("HD", powers, strict=True)
        if power
    )
    upper, lower = int(number.p), int(number.q)
    factor = {1: "", -1: "-"}.get(upper, str(upper)) if letters else str(upper)
    return factor + letters + (f"/{lower}" if lower > 1 else "")
