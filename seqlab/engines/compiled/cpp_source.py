"""C++ for a cell's equations: the class ``Cell`` that ``cpp/recurrence.h`` runs over time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from seqlab.engines.compiled.operators import in_cpp, literal
from seqlab.engines.traced.folding import LOGICAL
from seqlab.engines.traced.kept_values import KeptValues, Place, next_states, same_gates
from seqlab.engines.traced.traced_cell import TracedCell, TracedFunction
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


def generate(equations: TracedCell) -> Layout:
    """The C++ source of a cell's kernels."""
    saved = KeptValues()
    update, later = equations.update, equations.later
    parameters = len(equations.parameters) + len(equations.buffers)
    free = next_states(update)
    same = not later and not equations.normalised and same_gates(update)
    write = _update_gradients_same if same else _update_gradients
    parts = [
        _forward_function("update", update, saved, saved.keep(update, free), _update_stores),
        _backward_function("update_backward", update, _places(saved, free), write),
    ]
    for number, (vector, _) in enumerate(later, 1):
        name, kept = f"vector{number}", saved.keep(vector, {})
        parts.append(_forward_function(name, vector, saved, kept, _vector_stores))
        places = _places(saved, {})
        parts.append(_backward_function(f"{name}_backward", vector, places, _vector_gradients))
    parts += [_chosen(ending, len(later)) for ending in ("", "_backward")]
    output, *states = update.values
    field = next((i for i, state in enumerate(states) if state is output), None)
    constants = {
        "INPUTS": equations.inputs,
        "GATES": equations.gates,
        "PRODUCTS": equations.products,
        "FIRST": equations.first_gates,
        "STATES": equations.states,
        "SAVED": len(saved),
        "PARAMS": parameters,
        "NOISES": len(equations.zoned),
    }
    lines = [f"  static constexpr int {name} = {value};" for name, value in constants.items()]
    flags = {"NORM": equations.normalised, "SAME": same, "NARROWS": equations.narrows}
    starts = ", ".join(str(start) for start in equations.starts)
    lines.append(_STARTS.format(starts=starts))
    lines += [f"  static constexpr bool {k} = {str(v).lower()};" for k, v in flags.items()]
    source = _FILE.format(constants="\n".join(lines), functions="\n".join(parts))
    return Layout(source, len(saved), field, same)


_FILE = """#include "entries.h"

struct Cell {{
{constants}
{functions}}};

extern "C" void forward(const Arguments* run_) {{ run<Cell>(*run_, false); }}
extern "C" void* keep() {{ return new Kept<Cell>(); }}
extern "C" void forget(void* kept) {{ delete static_cast<Kept<Cell>*>(kept); }}
extern "C" void forward_kept(void* kept, const Arguments* run_, real* const* start,
                             real* const* last) {{
  run_between<Cell>(*run_, static_cast<Kept<Cell>*>(kept), start, last);
}}
extern "C" void backward(const Arguments* run_) {{ run<Cell>(*run_, true); }}
extern "C" void* prepare(const Arguments* run_) {{ return new Stepper<Cell>(*run_); }}
extern "C" void release(void* made) {{ delete static_cast<Stepper<Cell>*>(made); }}
extern "C" void step(void* made, real* const* at) {{ static_cast<Stepper<Cell>*>(made)->step(at); }}
"""
_STARTS = """  static int start(int product) {{
    const int starts[] = {{{starts}}};
    return starts[product];
  }}"""
_CHOSEN = """  template <bool FULL>
  static inline void vector{ending}(const Row<Cell>& k, int64_t u, int n) {{
{cases}
  }}
"""


def _chosen(ending: str, count: int) -> str:
    """The function of the product at hand."""
    calls = [
        f"if (k.product == {i}) vector{i}{ending}<FULL>(k, u, n);" for i in range(1, count + 1)
    ]
    cases = calls or ["(void)k, (void)u, (void)n;"]
    return _CHOSEN.format(ending=ending, cases="\n".join(f"    {case}" for case in cases))


def _places(saved: KeptValues, free: dict[Node, Place]) -> Callable[[Node], str | None]:
    """Where the backward pass loads a value from; None when it computes it."""

    def where(node: Node) -> str | None:
        place = saved.place(node, free)
        if place is None:
            return None
        kept = f"k.save + {place.number} * k.hidden"
        return kept if place.kind == "saved" else f"k.n[{place.number}]"

    return where


_INPUTS = {
    "x": "k.x[{}]", "h": "k.h[{}]", "s": "k.s[{}]", "p": "k.p[{}]", "z": "k.z[{}]",
    "ds": "k.d_state[{}]", "do": "k.d_out", "dv": "k.d_vector",
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
    saved: KeptValues,
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


def _vector_stores(traced: TracedFunction, emitter: _Emitter) -> list[str]:
    return [f"store<FULL>(k.vector + u, {emitter.names[traced.values[0]]}, n);"]


def _backward_function(
    name: str,
    traced: TracedFunction,
    places: Callable[[Node], str | None],
    write: Callable[[str, int, str], str],
) -> str:
    emitter = _Emitter(places)
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


def _vector_gradients(kind: str, index: int, value: str) -> str:
    target = {"x": "d_x", "h": "d_h", "s": "d_state", "p": "d_p"}[kind]
    at = f"k.{target}[{index}] + u"
    return f"store<FULL>({at}, load<FULL>({at}, n) + {value}, n);"
