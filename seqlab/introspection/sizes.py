"""How parameters grow with the sizes of a cell: formulas in D and H, fitted to real instances."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

#: Sizes (D, H) at which a cell is built: three fix a formula, the fourth checks it.
PROBES = ((3, 5), (11, 5), (3, 17), (7, 13))
_POWERS = {1: "", 2: "²", 3: "³", 4: "⁴"}


class Polynomial(NamedTuple):
    """A sum of ``coefficient * H^i * D^j``, by ``(i, j)``.

    >>> str(Polynomial({(2, 0): 4, (1, 1): 4, (1, 0): 4}))
    '4H² + 4HD + 4H'
    """

    terms: Mapping[tuple[int, int], int]

    def __call__(self, input_size: int, hidden_size: int) -> int:
        """The value at D and H."""
        return sum(c * hidden_size**i * input_size**j for (i, j), c in self.terms.items())

    def plus(self, other: Polynomial) -> Polynomial:
        """The sum."""
        keys = {*self.terms, *other.terms}
        both = {key: self.terms.get(key, 0) + other.terms.get(key, 0) for key in keys}
        return Polynomial({key: value for key, value in both.items() if value})

    def times(self, other: Polynomial) -> Polynomial:
        """The product."""
        total = Polynomial({})
        for (i, j), first in self.terms.items():
            for (k, m), second in other.terms.items():
                total = total.plus(Polynomial({(i + k, j + m): first * second}))
        return total

    def __str__(self) -> str:
        ordered = sorted(self.terms.items(), key=lambda item: (-sum(item[0]), -item[0][0]))
        text = " + ".join(_term(key, value) for key, value in ordered if value)
        return text.replace("+ -", "- ") or "0"


class Parameter(NamedTuple):
    """One parameter: its name and the formulas of its dimensions."""

    name: str
    shape: tuple[Polynomial, ...]

    @property
    def numbers(self) -> Polynomial:
        """The number of its numbers."""
        total = Polynomial({(0, 0): 1})
        for size in self.shape:
            total = total.times(size)
        return total


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


def total(parameters: list[Parameter], *, dimensions: int | None = None) -> Polynomial:
    """The number of all numbers, or of those of parameters with so many dimensions."""
    result = Polynomial({})
    for parameter in parameters:
        if dimensions is None or len(parameter.shape) == dimensions:
            result = result.plus(parameter.numbers)
    return result


def fit(name: str, values: tuple[int, ...]) -> Polynomial:
    """The formula of one size, from its values at ``PROBES``."""
    (d0, h0), (d1, _), (_, h2), _ = PROBES
    by_input = Fraction(values[1] - values[0], d1 - d0)
    by_hidden = Fraction(values[2] - values[0], h2 - h0)
    rest = values[0] - by_input * d0 - by_hidden * h0
    whole = all(part.denominator == 1 for part in (by_input, by_hidden, rest))
    terms = {(0, 1): int(by_input), (1, 0): int(by_hidden), (0, 0): int(rest)}
    fitted = Polynomial({key: value for key, value in terms.items() if value})
    if not whole or [fitted(*sizes) for sizes in PROBES] != list(values):
        raise ValueError(f"{name} has sizes {values} at (D, H) = {PROBES}, which is no formula")
    return fitted


def _term(key: tuple[int, int], value: int) -> str:
    letters = "".join(
        letter + _POWERS.get(power, f"^{power}")
        for letter, power in zip("HD", key, strict=True)
        if power
    )
    if not letters:
        return str(value)
    return letters if value == 1 else f"-{letters}" if value == -1 else f"{value}{letters}"
