"""C++ for a cell's equations: the class ``Cell`` that ``cpp/recurrence.h`` runs over time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from seqlab.engines.compiled.operators import CHEAP, LOGICAL, in_cpp, literal
from seqlab.engines.compiled.traced_cell import TracedCell, TracedFunction
from seqlab.expressions import Node, ordered


class Layout(NamedTuple):
    """What the caller must know of a kernel.

    ``saved`` counts the values kept for the backward pass; ``output_field`` is the state field that
    is the output, or None; ``same`` tells that input and recurrent gates have equal gradients.
    """

    source: str
    saved: int
    output_field: int | None
    same: bool


class _Saved(NamedTuple):
    """The forward values that a backward pass reads, by identity, with their places."""

    places: dict[Node, int]
    nodes: list[Node]


def generate(equations: TracedCell) -> Layout:
    """The C++ source of a cell's kernels."""
    saved = _Saved({}, [])
    update, second = equations.update, equations.second
    parameters = len(equations.parameters) + len(equations.buffers)
    free = _free_values(update)
    backward = _Backward(saved, free)
    same = second is None and not equations.normalised and _same_gates(update)
    write = _update_gradients_same if same else _update_gradients
    parts = [
        _forward_function("update", update, saved, backward.find(update), _update_stores),
        _backward_function("update_backward", update, backward, write),
    ]
    if second is not None:
        stop = _Backward(saved, {})
        body = _forward_function("second", second, saved, stop.find(second), _second_stores)
        parts += [body, _backward_function("second_backward", second, stop, _second_gradients)]
    else:
        parts += [_EMPTY.format(name=name) for name in ("second", "second_backward")]
    output, *states = update.values
    field = next((i for i, state in enumerate(states) if state is output), None)
    constants = {
        "GATES": equations.gates,
        "FIRST": equations.first_gates,
        "STATES": equations.states,
        "SAVED": len(saved.nodes),
        "PARAMS": parameters,
        "NOISES": len(equations.zoned),
    }
    lines = [f"  static constexpr int {name} = {value};" for name, value in constants.items()]
    flags = {"NORM": equations.normalised, "SAME": same, "NARROWS": equations.narrows}
    lines += [f"  static constexpr bool {k} = {str(v).lower()};" for k, v in flags.items()]
    source = _FILE.format(constants="\n".join(lines), functions="\n".join(parts))
    return Layout(source, len(saved.nodes), field, same)


_FILE = """#include "recurrence.h"

struct Cell {{
{constants}
{functions}}};

extern "C" void forward(const Arguments* run_) {{ run<Cell>(*run_, false); }}
extern "C" void backward(const Arguments* run_) {{ run<Cell>(*run_, true); }}
"""
_EMPTY = """  template <bool FULL>
  static inline void {name}(const Row<Cell>&, int64_t, int) {{}}
"""


def _free_values(update: TracedFunction) -> dict[Node, str]:
    """Values that the history of the states holds anyway: the next state's fields."""
    return {node: f"k.n[{i}]" for i, node in enumerate(update.values[1:])}


def _same_gates(update: TracedFunction) -> bool:
    gradients = {i.value: g for i, g in zip(update.inputs, update.gradients, strict=True)}
    gates = [index for kind, index in gradients if kind == "x"]
    return all(gradients["x", i] is gradients["h", i] for i in gates)


class _Backward:
    """Decides what the backward pass reads: inputs it has, values kept, the rest anew."""

    def __init__(self, saved: _Saved, free: dict[Node, str]) -> None:
        self.saved, self.free = saved, free

    def find(self, traced: TracedFunction) -> list[Node]:
        """Register and return the values to keep of one function."""
        wanted = [g for g in traced.gradients if g.op != "number"]
        seeds = _depends(wanted, lambda n: n.op == "symbol" and n.value.kind.startswith("d"))
        reached = ordered(wanted, lambda n: n not in seeds)
        frontier = [n for n in reached if n not in seeds and n.op != "number"]
        frontier = _reals(frontier)
        kept: list[Node] = [n for n in frontier if self._must_keep(n)]
        available = set(kept)
        for node in frontier:
            if node.op in CHEAP and not self._at_hand(node, available):
                kept.append(node)
                available.add(node)
        for node in kept:
            if node not in self.saved.places:
                self.saved.places[node] = len(self.saved.nodes)
                self.saved.nodes.append(node)
        return kept

    def _must_keep(self, node: Node) -> bool:
        if node.op == "symbol":
            return not self._at_hand(node, set())
        return node.op not in CHEAP and node not in self.free

    def _at_hand(self, node: Node, available: set[Node]) -> bool:
        if node in available or node in self.free or node.op == "number":
            return True
        if node.op == "symbol":
            return node.value.kind in {"s", "p", "z"}
        return node.op in CHEAP and all(self._at_hand(o, available) for o in node.args)

    def source_of(self, node: Node) -> str | None:
        """Where the backward pass loads this value from; None when it computes it."""
        if node in self.saved.places:
            return f"k.save + {self.saved.places[node]} * k.hidden"
        return self.free.get(node)


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


_INPUTS = {
    "x": "k.x[{}]", "h": "k.h[{}]", "s": "k.s[{}]", "p": "k.p[{}]", "z": "k.z[{}]",
    "ds": "k.d_state[{}]", "do": "k.d_out", "dv": "k.d_second",
}  # fmt: skip


class _Emitter:
    """Writes statements for nodes, each value once."""

    def __init__(self, place: Callable[[Node], str | None]) -> None:
        self.place = place
        self.names: dict[Node, str] = {}
        self.lines: list[str] = []

    def emit(self, outputs: Sequence[Node]) -> None:
        """Statements that compute the outputs."""
        for node in ordered(outputs, lambda n: self.place(n) is not None):
            if node not in self.names:
                self.names[node] = self._statement(node)

    def _statement(self, node: Node) -> str:
        where = self.place(node)
        if node.op == "symbol":
            where = where or _INPUTS[node.value.kind].format(node.value.name)
        if where is not None:
            if where == "k.d_out":
                value = "(k.d_out ? load<FULL>(k.d_out + u, n) : V{})"
            else:
                value = f"load<FULL>({where} + u, n)"
        elif node.op == "number":
            value = f"all({literal(node.value)})"
        else:
            value = in_cpp(node.op, [self.names[o] for o in node.args])
        name = f"v{len(self.names)}"
        self.lines.append(
            f"const {'M' if node.op in LOGICAL and not where else 'V'} {name} = {value};"
        )
        return name


def _function(name: str, lines: Iterable[str]) -> str:
    body = "\n".join(f"    {line}" for line in lines)
    return (
        "  template <bool FULL>\n"
        f"  static inline void {name}(const Row<Cell>& k, int64_t u, int n) {{\n{body}\n  }}\n"
    )


def _forward_function(
    name: str,
    traced: TracedFunction,
    saved: _Saved,
    kept: list[Node],
    stores: Callable[[TracedFunction, _Emitter], list[str]],
) -> str:
    emitter = _Emitter(lambda _: None)
    emitter.emit([*traced.values, *kept])
    lines = emitter.lines + stores(traced, emitter)
    if kept:
        lines.append("if (k.save) {")
        lines += [
            f"  store<FULL>(k.save + {saved.places[n]} * k.hidden + u, {emitter.names[n]}, n);"
            for n in kept
        ]
        lines.append("}")
    return _function(name, lines)


def _update_stores(traced: TracedFunction, emitter: _Emitter) -> list[str]:
    output, *states = traced.values
    lines = [
        f"store<FULL>(k.next[{i}] + u, {emitter.names[node]}, n);" for i, node in enumerate(states)
    ]
    return [*lines, f"if (k.out) store<FULL>(k.out + u, {emitter.names[output]}, n);"]


def _second_stores(traced: TracedFunction, emitter: _Emitter) -> list[str]:
    return [f"store<FULL>(k.second + u, {emitter.names[traced.values[0]]}, n);"]


def _backward_function(
    name: str, traced: TracedFunction, backward: _Backward, write: Callable[[str, int, str], str]
) -> str:
    emitter = _Emitter(backward.source_of)
    emitter.emit(traced.gradients)
    lines = list(emitter.lines)
    for node, gradient in zip(traced.inputs, traced.gradients, strict=True):
        kind, index = node.value
        if kind != "z":
            lines.append(write(kind, index, emitter.names[gradient]))
    lines = [line for line in lines if line]
    return _function(name, lines)


def _update_gradients(kind: str, index: int, value: str) -> str:
    if kind == "p":
        at = f"k.d_p[{index}] + u"
        return f"store<FULL>({at}, load<FULL>({at}, n) + {value}, n);"
    target = {"x": "d_x", "h": "d_h", "s": "d_state"}[kind]
    return f"store<FULL>(k.{target}[{index}] + u, {value}, n);"


def _update_gradients_same(kind: str, index: int, value: str) -> str:
    return "" if kind == "h" else _update_gradients(kind, index, value)


def _second_gradients(kind: str, index: int, value: str) -> str:
    target = {"x": "d_x", "h": "d_h", "s": "d_state", "p": "d_p"}[kind]
    at = f"k.{target}[{index}] + u"
    return f"store<FULL>({at}, load<FULL>({at}, n) + {value}, n);"
