"""What one call of a vendor's kernel computes."""

from __future__ import annotations

from typing import NamedTuple


class CallForm(NamedTuple):
    """What one call computes: so many levels of one or two directions, by one kernel."""

    kernel: str
    levels: int
    directions: int
    biased: bool
    train: bool

    @property
    def fields(self) -> int:
        """The number of fields of a cell's state."""
        return 2 if self.kernel == "lstm" else 1
