"""Which forward values the backward pass of traced equations keeps, and which it finds again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from seqlab.engines.traced.folding import CHEAP, LOGICAL
from seqlab.engines.traced.traced_cell import TracedFunction
from seqlab.expressions import Node, ordered


class Place(NamedTuple):
    """Where the backward pass reads a value: ``saved`` or ``next`` state, and its number."""

    kind: str
    number: int


class KeptValues:
    """Forward values kept for a backward pass, each with its place, over all of a cell's functions.

    The backward pass reads inputs it has, the next state, which its history holds anyway, and the
    values kept; what is cheap (``CHEAP``) it computes again.
    """

    def __init__(self) -> None:
        self.places: dict[Node, int] = {}

    def __len__(self) -> int:
        return len(self.places)

    def keep(self, traced: TracedFunction, free: dict[Node, Place]) -> list[Node]:
        """Register and return the values to keep of one function; ``free`` are to be had anyway."""
        wanted = [g for g in traced.gradients if g.op != "number"]
        seeds = _depends(wanted, lambda n: n.op == "symbol" and n.value.kind.startswith("d"))
        reached = ordered(wanted, lambda n: n not in seeds)
        frontier = _reals(n for n in reached if n not in seeds and n.op != "number")
        kept = [n for n in frontier if _must_keep(n, free)]
        available = {*kept, *free}
        for node in frontier:
            if node.op in CHEAP and not _at_hand(node, available):
                kept.append(node)
                available.add(node)
        for node in kept:
            self.places.setdefault(node, len(self.places))
        return kept

    def place(self, node: Node, free: dict[Node, Place]) -> Place | None:
        """Where the backward pass reads this value; None when it computes it."""
        if node in self.places:
            return Place("saved", self.places[node])
        return free.get(node)


def next_states(update: TracedFunction) -> dict[Node, Place]:
    """The values that the histories of the states hold: the next state's fields."""
    return {node: Place("next", index) for index, node in enumerate(update.values[1:])}


def same_gates(update: TracedFunction) -> bool:
    """Whether the input's and the recurrent part of each gate have one gradient."""
    gradients = {i.value: g for i, g in zip(update.inputs, update.gradients, strict=True)}
    gates, parts = ([i for kind, i in gradients if kind == wanted] for wanted in "xh")
    return gates == parts and all(gradients["x", i] is gradients["h", i] for i in gates)


def _must_keep(node: Node, free: dict[Node, Place]) -> bool:
    if node.op == "symbol":
        return not _at_hand(node, set(free))
    return node.op not in CHEAP and node not in free


def _at_hand(node: Node, available: set[Node]) -> bool:
    if node in available or node.op == "number":
        return True
    if node.op == "symbol":
        return node.value.kind in {"s", "p", "z"}
    return node.op in CHEAP and all(_at_hand(o, available) for o in node.args)


def _depends(outputs: Iterable[Node], seed: Callable[[Node], bool]) -> set[Node]:
    """The nodes among those of the outputs that depend on a seed."""
    found: set[Node] = set()
    for node in ordered(outputs, lambda _: False):
        if seed(node) or any(o in found for o in node.args):
            found.add(node)
    return found


def _reals(nodes: Iterable[Node]) -> list[Node]:
    """The nodes, truth values replaced by what they compare."""
    found: dict[Node, None] = {}
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if node.op in LOGICAL:
            pending.extend(node.args)
        elif node.op != "number":
            found[node] = None
    return list(found)
