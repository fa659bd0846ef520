"""The text of recurrent matrices in kernels: their tiles, kept or read in pieces, whole or blocks.

``depth`` are the units that a program's products sum over, ``at`` those of a piece of them.
"""

from __future__ import annotations

from typing import NamedTuple

from seqlab.engines.triton.kernel_text import indented, load, when

#: The units from ``low`` to before ``high`` are those of the blocks that a program has parts of.
_REACH = """
low = tl.program_id(0) * UNITS // size * size
high = tl.minimum((tl.program_id(0) * UNITS + UNITS - 1) // size * size + size, hidden)
lane = tl.arange(0, DEPTH)
depth = low + lane
in_depth = depth < high
""".strip().splitlines()
_WHOLE = ["depth = tl.arange(0, DEPTH)", "in_depth = depth < hidden"]


class MatrixText(NamedTuple):
    """``blocked``: of block-diagonal matrices the blocks are given, each ``size`` wide."""

    blocked: bool

    def depth(self) -> list[str]:
        """What stands at a kernel's begin."""
        return _REACH if self.blocked else _WHOLE

    def inside(self, units: str) -> str:
        """Which of some units exist."""
        high = "high" if self.blocked else "hidden"
        return "in_depth" if units == "depth" else f"({units} < {high})"

    def shared(self, where: str, units: str) -> str:
        """What other programs stored, by rows and units; past the cache that knows it not."""
        condition = f"in_rows[:, None] & {self.inside(units)}[None, :]"
        return f"tl.load({where}, mask={condition}, other=0.0, cache_modifier='.cg')"

    def weight(self, gate: int, depth: str, *, forward: bool) -> str:
        """A tile ``[DEPTH, UNITS]`` of a gate: the program's units are its rows if forward."""
        row, column = (
            ("units[None, :]", f"{depth}[:, None]"),
            (f"{depth}[:, None]", "units[None, :]"),
        )[not forward]
        there = f"{self.inside(depth)}[:, None] & in_units[None, :]"
        if not self.blocked:
            return load(f"weight + ({gate} * hidden + {row}) * hidden + {column}", there)
        there += f" & ({row} // size == {column} // size)"
        return load(f"weight + ({gate} * hidden + {row}) * size + {column} % size", there)

    def weights(self, gates: int, *, forward: bool) -> list[str]:
        """The matrices that stay on the chip."""
        lines = [f"w{g} = {self.weight(g, 'depth', forward=forward)}" for g in range(gates)]
        return when("RESIDENT", lines) if lines else []

    def in_pieces(self, lines: list[str]) -> list[str]:
        """A loop over pieces of the depth, at ``at``."""
        span, lane = ("low, high", "lane") if self.blocked else ("0, hidden", "depth")
        return [f"for piece in range({span}, DEPTH):", *indented([f"at = piece + {lane}", *lines])]
