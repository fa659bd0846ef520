"""Gates and units on a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqlab.pages import Bars, Lines, Page

GATES = (
    "A gate is a number between 0 and 1 for each unit and step; a candidate lies between -1 and 1. "
    "Near a bound a gate is saturated: it does one thing for certain, and its gradient is close "
    "to 0, so it is slow to learn another. Here, nearer than 0.1 to the bound counts, as in "
    "Karpathy, Johnson and Fei-Fei (2015)."
)


def add_gates(page: Page, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """The section on gates: a table, and for each entry how its gates stand.

    Args:
        page: grows.
        entries: a name to what has ``gates`` and ``units``.
    """
    page.section("Gates and units", GATES)
    rows = [
        [name, gate, g["mean"], g["std"], g["closed"], g["open"]]
        for name, entry in entries.items()
        for gate, g in entry["gates"].items()
    ]
    if rows:
        page.table(["of", "gate", "mean", "spread", "closed", "open"], rows, "Shares of gates")
    else:
        page.text("These cells have no gates that could be read off their equations.")
    for name, entry in entries.items():
        _add_figures(page, name, entry["gates"])
    page.table(
        ["of", "units", "dead", "saturated"],
        [
            [name, e["units"]["units"], len(e["units"]["dead"]), len(e["units"]["saturated"])]
            for name, e in entries.items()
        ],
        "Units: dead ones never move, saturated ones stand near -1 or 1 in nine steps of ten",
    )


def _add_figures(page: Page, name: str, gates: Mapping[str, Any]) -> None:
    bounded = {gate: g for gate, g in gates.items() if g["closed"] is not None}
    if bounded:
        shares = {
            "near the lower bound": [g["closed"] for g in bounded.values()],
            "near the upper bound": [g["open"] for g in bounded.values()],
        }
        page.figure(Bars(list(bounded), shares, y="share"), f"{name}: how often gates saturate")
    if gates and any(len(g["by_step"]) > 1 for g in gates.values()):
        means = {gate: list(enumerate(g["by_step"], 1)) for gate, g in gates.items()}
        page.figure(Lines(means, x="step", y="mean"), f"{name}: gates over time")
