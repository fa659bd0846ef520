"""The page of ``seqlab gradients``: the vanishing gradient of fresh cells, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqlab.microscope.gate_plots import add_gates
from seqlab.microscope.memory_text import (
    HALF_LIFE,
    JACOBIANS,
    MEMORY_HEADER,
    WHY,
    fate,
    memory_row,
    steps,
)
from seqlab.pages import Lines, Page
from seqlab.pages.page import written


def gradients_page(
    cells: Mapping[str, Any], *, length: int, hidden_size: int, rows: int, seed: int
) -> Page:
    """The page.

    Args:
        cells: what ``compare_fresh`` returned.
        length: as given to it.
        hidden_size: as given to it.
        rows: as given to it.
        seed: as given to it.
    """
    page = Page(f"How far back the gradient reaches: {', '.join(cells)}", _lead(cells, length))
    page.text(
        f"Each cell was drawn anew with {hidden_size} units and read {rows} sequences of {length} "
        f"standard normal inputs (seed {seed}); nothing was trained. Curves are means over the "
        "sequences."
    )
    page.section("The gradient by distance", WHY)
    page.figure(
        Lines({n: e["gradient"] for n, e in cells.items()}, x="steps back", y="norm", log_y=True),
        "Gradient of the last output by earlier states",
        "The root mean square over the outputs. The axis is logarithmic: a straight line is a "
        "constant factor a step.",
    )
    near = max(10, length // 10)
    page.figure(
        Lines(
            {n: _relative(e["gradient"], near) for n, e in cells.items()},
            x="steps back",
            y="part of the first",
        ),
        f"The last {near} steps, on a plain axis",
        "What is left, in parts of the gradient one step back.",
    )
    page.text(HALF_LIFE)
    page.table(
        MEMORY_HEADER,
        [memory_row(name, e["gradient"], e["memory"]) for name, e in cells.items()],
        "Memory of each cell",
    )
    page.items(_verdict(name, entry, length) for name, entry in cells.items())
    page.section("Products of Jacobians", JACOBIANS)
    page.figure(
        Lines(
            {n: e["jacobian"]["norm"] for n, e in cells.items()},
            x="steps back", y="spectral norm", log_y=True,
        ),
        "Largest growth of a change of the state",
    )  # fmt: skip
    add_gates(page, cells)
    return page


def _relative(curve: list[Any], near: int) -> list[Any]:
    first = curve[0][1] or 1.0
    return [(k, value / first) for k, value in curve if k <= near]


def _lead(cells: Mapping[str, Any], length: int) -> str:
    known = {name: e["memory"]["rate"] for name, e in cells.items() if e["memory"]["rate"]}
    if not known:
        return ""
    longest, shortest = max(known, key=lambda n: known[n]), min(known, key=lambda n: known[n])
    text = f"A step back multiplies the gradient by {written(known[longest])} in {longest}"
    if longest == shortest:
        return text + "."
    return (
        f"{text} and by {written(known[shortest])} in {shortest}: over {length} steps that is "
        f"{written(known[longest] ** length)} against {written(known[shortest] ** length)}."
    )


def _verdict(name: str, entry: Mapping[str, Any], length: int) -> str:
    memory, last = entry["memory"], entry["gradient"][-1]
    return (
        f"{name}: the gradient {fate(memory)}. Its half-life is "
        f"{steps(memory['half_life'], length)}; {last[0]} steps back the norm is "
        f"{written(last[1])}."
    )
