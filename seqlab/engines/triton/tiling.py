"""How a run is divided among programs: the tiles of rows and units, and what stays on the chip."""

from __future__ import annotations

import functools
from typing import NamedTuple

#: The share of a processor's memory that a program's part of the recurrent matrix may take.
RESIDENT_SHARE = 0.6
#: Bytes of it, and units, that crowd out the operands of products that are made of several.
CROWDED_BYTES, CROWDED_UNITS = 70_000, 256
#: The same of what a program sees of blocks: beyond, the compiler spills kilobytes (not measured).
CROWDED_REACH = 128


#: Groups of rows that one launch may have.
MOST_GROUPS = 65_535


class Place(NamedTuple):
    """Where kernels run.

    ``processors`` work at once, each with ``memory`` bytes on the chip.

    ``precision`` is ``tf32``, ``tf32x3`` (three of them, for the digits of float32), ``ieee``,
    ``bf16``, ``fp16``, or ``sum`` for types that tensor cores do not multiply.
    """

    processors: int
    memory: int
    precision: str


class Tiles(NamedTuple):
    """Rows and units of a program, the depth of a product's piece, whether weights stay on chip."""

    rows: int
    units: int
    depth: int
    resident: bool
    warps: int = 4

    def programs(self, hidden: int) -> int:
        """Programs that share some rows, and meet."""
        return divided(hidden, self.units)

    def groups(self, batch: int) -> int:
        """Groups of rows."""
        return divided(batch, self.rows)


@functools.cache
def tiles(hidden: int, gates: int, place: Place, size: int | None = None) -> Tiles:
    """The tiles of a run of H units and G gates; ``size``: of the blocks of their matrices."""
    full = max(16, power_of_two(hidden))
    if place.processors == 1:
        return Tiles(16, full, full, resident=True)
    # as measured on an H200: one program for few units, else tiles that stay in the registers
    units, warps = (full, 8) if full <= 64 else (32 if full <= 256 else 16, 4)
    if place.precision == "sum":
        units = 16
    while divided(hidden, units) > place.processors:
        units *= 2  # all programs of some rows run at once
    if place.precision == "sum":
        return Tiles(16, units, 16, resident=False)
    depth = full if size is None else max(16, power_of_two(reach(hidden, units, size)))
    most = RESIDENT_SHARE * place.memory
    if place.precision == "tf32x3":
        limit = CROWDED_UNITS if size is None else CROWDED_REACH
        most = min(most, CROWDED_BYTES) if depth <= limit else 0
    resident = gates * depth * units * 4 <= most
    return Tiles(16, units, depth if resident else min(depth, 128), resident, warps)


@functools.cache
def reach(hidden: int, units: int, size: int) -> int:
    """The most units that those of one program see, each the units of its own block.

    >>> reach(12, 4, 6), reach(12, 4, 3)
    (12, 6)
    """
    spans = [
        (begin // size * size, min((begin + units - 1) // size * size + size, hidden))
        for begin in range(0, hidden, units)
    ]
    return max(high - low for low, high in spans)


def step_tiles(hidden: int, batch: int, place: Place) -> tuple[int, int]:
    """Rows and units of a program that runs one step's equations."""
    units = max(16, power_of_two(hidden))
    if place.processors == 1:
        return max(2, power_of_two(batch)), units
    units = min(128, units)
    rows = 512 // units
    while divided(batch, rows) > MOST_GROUPS:
        rows *= 2
    return rows, units


def row_tiles(count: int, batch: int, place: Place) -> tuple[int, int, int]:
    """Rows of a program that normalises them, columns of a piece, and warps."""
    block = max(16, power_of_two(count))
    if place.processors == 1:
        return max(2, power_of_two(batch)), block, 4
    block = min(block, 4096)
    return 2, block, 8 if block > 1024 else 4


def divided(count: int, size: int) -> int:
    """Tiles of a size that hold a count."""
    return -(-count // size)


def power_of_two(number: int) -> int:
    """The least power of two that is not less."""
    return 1 << max(0, number - 1).bit_length()
