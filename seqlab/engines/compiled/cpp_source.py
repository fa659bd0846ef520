"""C++ for a cell's equations: the class ``Cell`` that ``cpp/recurrence.h`` runs over time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from seqlab.engines.compiled.expressions import CHEAP, LOGICAL, Node, literal, ordered
from seqlab.engines.compiled.tracing import Equations, Traced


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

    places: dict[int, int]
    nodes: list[Node]


def generate(equations: Equations) -> Layout:
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
        parts += [
            body,
            _backward_function("second_backward", second, stop, _second_gradients),
        ]
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

extern "C" void forward(const Run* run_) {{ run<Cell>(*run_, false); }}
extern "C" void backward(const Run* run_) {{ run<Cell>(*run_, true); }}
"""
_EMPTY = """  template <bool FULL>
  static inline void {name}(const Row<Cell>&, int64_t, int) {{}}
"""


def _free_values(update: Traced) -> dict[int, str]:
    """Values that the history of the states holds anyway: the next state's fields."""
    return {id(node): f"k.n[{i}]" for i, node in enumerate(update.values[1:])}


def _same_gates(update: Traced) -> bool:
    gradients: dict[tuple[str, int], Node] = {
        (str(i.args[0]), int(i.args[1])): g  # type: ignore[arg-type]  # an input's args are kind and index
        for i, g in zip(update.inputs, update.gradients, strict=True)
    }
    gates = [index for kind, index in gradients if kind == "x"]
    return all(gradients["x", i] is gradients["h", i] for i in gates)


class _Backward:
    """Decides what the backward pass reads: inputs it has, values kept, the rest anew."""

    def __init__(self, saved: _Saved, free: dict[int, str]) -> None:
        self.saved, self.free = saved, free

    def find(self, traced: Traced) -> list[Node]:
        """Register and return the values to keep of one function."""
        wanted = [g for g in traced.gradients if g.op != "const"]
        seeds = _depends(wanted, lambda n: n.op == "input" and str(n.args[0]).startswith("d"))
        reached = ordered(wanted, lambda n: id(n) not in seeds)
        frontier = [n for n in reached if id(n) not in seeds and n.op != "const"]
        frontier = _reals(frontier)
        kept: list[Node] = [n for n in frontier if self._must_keep(n)]
        available = {id(n) for n in kept}
        for node in frontier:
            if node.op in CHEAP and not self._at_hand(node, available):
                kept.append(node)
                available.add(id(node))
        for node in kept:
            if id(node) not in self.saved.places:
                self.saved.places[id(node)] = len(self.saved.nodes)
                self.saved.nodes.append(node)
        return kept

    def _must_keep(self, node: Node) -> bool:
        if node.op == "input":
            return not self._at_hand(node, set())
        return node.op not in CHEAP and id(node) not in self.free

    def _at_hand(self, node: Node, available: set[int]) -> bool:
        if id(node) in available or id(node) in self.free or node.op == "const":
            return True
        if node.op == "input":
            return node.args[0] in {"s", "p", "z"}
        return node.op in CHEAP and all(self._at_hand(o, available) for o in node.operands)

    def source_of(self, node: Node) -> str | None:
        """Where the backward pass loads this value from; None when it computes it."""
        if id(node) in self.saved.places:
            return f"k.save + {self.saved.places[id(node)]} * k.hidden"
        return self.free.get(id(node))


def _depends(outputs: Iterable[Node], seed: Callable[[Node], bool]) -> set[int]:
    """The nodes among those of the outputs that depend on a seed."""
    found: set[int] = set()
    for node in ordered(outputs, lambda _: False):
        if seed(node) or any(id(o) in found for o in node.operands):
            found.add(id(node))
    return found


def _reals(nodes: Iterable[Node]) -> list[Node]:
    """The nodes, truth values replaced by what they compare."""
    found: dict[int, Node] = {}
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if node.op in LOGICAL:
            pending.extend(node.operands)
        elif node.op != "const":
            found[id(node)] = node
    return list(found.values())


_INPUTS = {
    "x": "k.x[{}]", "h": "k.h[{}]", "s": "k.s[{}]", "p": "k.p[{}]", "z": "k.z[{}]",
    "ds": "k.d_state[{}]", "do": "k.d_out", "dv": "k.d_second",
}  # fmt: skip


class _Emitter:
    """Writes statements for nodes, each value once."""

    def __init__(self, place: Callable[[Node], str | None]) -> None:
        self.place = place
        self.names: dict[int, str] = {}
        self.lines: list[str] = []

    def emit(self, outputs: Sequence[Node]) -> None:
        """Statements that compute the outputs."""
        for node in ordered(outputs, lambda n: self.place(n) is not None):
            if id(node) not in self.names:
                self.names[id(node)] = self._statement(node)

    def _statement(self, node: Node) -> str:
        where = self.place(node)
        if node.op == "input":
            where = where or _INPUTS[str(node.args[0])].format(node.args[1])
        if where is not None:
            if where == "k.d_out":
                value = "(k.d_out ? load<FULL>(k.d_out + u, n) : V{})"
            else:
                value = f"load<FULL>({where} + u, n)"
        elif node.op == "const":
            value = f"all({literal(float(str(node.args[0])))})"
        else:
            value = _expression(node.op, [self.names[id(o)] for o in node.operands])
        name = f"v{len(self.names)}"
        self.lines.append(
            f"const {'M' if node.op in LOGICAL and not where else 'V'} {name} = {value};"
        )
        return name


_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "gt": ">", "ge": ">=", "lt": "<",
          "le": "<=", "eq": "==", "ne": "!=", "and": "&", "or": "|"}  # fmt: skip


def _expression(op: str, args: list[str]) -> str:
    if op in _INFIX:
        return f"{args[0]} {_INFIX[op]} {args[1]}"
    if op == "neg":
        return f"-{args[0]}"
    if op == "not":
        return f"~{args[0]}"
    if op == "where":
        return f"choose({', '.join(args)})"
    if op == "real":
        return f"choose({args[0]}, all(1), all(0))"
    return f"v_{op}({', '.join(args)})"


def _function(name: str, lines: Iterable[str]) -> str:
    body = "\n".join(f"    {line}" for line in lines)
    return (
        "  template <bool FULL>\n"
        f"  static inline void {name}(const Row<Cell>& k, int64_t u, int n) {{\n{body}\n  }}\n"
    )


def _forward_function(
    name: str,
    traced: Traced,
    saved: _Saved,
    kept: list[Node],
    stores: Callable[[Traced, _Emitter], list[str]],
) -> str:
    emitter = _Emitter(lambda _: None)
    emitter.emit([*traced.values, *kept])
    lines = emitter.lines + stores(traced, emitter)
    if kept:
        lines.append("if (k.save) {")
        lines += [
            f"  store<FULL>(k.save + {saved.places[id(n)]} * k.hidden + u, "
            f"{emitter.names[id(n)]}, n);"
            for n in kept
        ]
        lines.append("}")
    return _function(name, lines)


def _update_stores(traced: Traced, emitter: _Emitter) -> list[str]:
    output, *states = traced.values
    lines = [
        f"store<FULL>(k.next[{i}] + u, {emitter.names[id(node)]}, n);"
        for i, node in enumerate(states)
    ]
    return [*lines, f"if (k.out) store<FULL>(k.out + u, {emitter.names[id(output)]}, n);"]


def _second_stores(traced: Traced, emitter: _Emitter) -> list[str]:
    return [f"store<FULL>(k.second + u, {emitter.names[id(traced.values[0])]}, n);"]


def _backward_function(
    name: str,
    traced: Traced,
    backward: _Backward,
    write: Callable[[str, int, str], str],
) -> str:
    emitter = _Emitter(backward.source_of)
    emitter.emit(traced.gradients)
    lines = list(emitter.lines)
    for node, gradient in zip(traced.inputs, traced.gradients, strict=True):
        kind, index = str(node.args[0]), int(str(node.args[1]))
        if kind != "z":
            lines.append(write(kind, index, emitter.names[id(gradient)]))
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
