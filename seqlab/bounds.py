"""The bounds that an option's annotation may have, and the usual ones by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any


@dataclass(frozen=True)
class Range:
    """Bounds of a number, as ``Annotated[int, Range(least=1)]``; each may be left out."""

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None

    def accepts(self, value: Any) -> bool:
        """Whether a number lies inside."""
        return (
            (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def words(self, noun: str) -> str:
        """What is expected: the noun with the bounds after it."""
        low = self.least if self.above is None else self.above
        high = self.most if self.below is None else self.below
        if low is None or high is None:
            low_word = "of at least" if self.above is None else "above"
            high_word = "of at most" if self.below is None else "below"
            ends = [(low_word, low), (high_word, high)]
            return " ".join([noun, *(f"{word} {end:g}" for word, end in ends if end is not None)])
        if self.above is None and self.below is None:
            return f"{noun} from {low:g} to {high:g}"
        opening, closing = "(" if self.least is None else "[", ")" if self.most is None else "]"
        return f"{noun} in {opening}{low:g}, {high:g}{closing}"


@dataclass(frozen=True)
class Rule:
    """Any other condition, as ``Annotated[str, Rule(str.isidentifier, "a plain word")]``."""

    test: Callable[[Any], bool]
    expected: str

    def accepts(self, value: Any) -> bool:
        """Whether a value of the right type fulfils the condition."""
        return self.test(value)

    def words(self, _: str) -> str:
        """What is expected."""
        return self.expected


#: An int of at least 1: a size, a number of layers or rows.
Count = Annotated[int, Range(least=1)]
#: An int of at least 0: a seed, a position.
Whole = Annotated[int, Range(least=0)]
#: A number above 0: a temperature, a learning rate.
Positive = Annotated[float, Range(above=0)]
#: A number of at least 0: a penalty, a weight.
NonNegative = Annotated[float, Range(least=0)]
#: A number in [0, 1): a rate of dropout.
Fraction = Annotated[float, Range(least=0, below=1)]
#: A number from 0 to 1, both included: a probability.
Share = Annotated[float, Range(least=0, most=1)]
#: A number between 0 and 1, both excluded: a part held out.
Part = Annotated[float, Range(above=0, below=1)]
#: A string that is not empty.
Name = Annotated[str, Rule(bool, "a name")]
#: True or false.
Flag = bool
