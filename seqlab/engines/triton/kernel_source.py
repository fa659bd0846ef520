"""Triton kernels of a cell's equations: one for all steps forward, one for all steps backward.

A program runs a tile of rows and units through all time steps. It reads what other units' programs
computed from the memory that the backward pass needs anyway, after a meeting at each step; a program
that has all units meets nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from seqlab.engines.traced.kept_values import KeptValues, Place, next_states, same_gates
from seqlab.engines.traced.traced_cell import TracedCell, TracedFunction
from seqlab.engines.triton.statements import Statements
from seqlab.expressions import Node, ordered


class Source(NamedTuple):
    """Two kernels, ``forward`` and ``backward``, and what their caller must know.

    ``saved`` counts the values kept for the backward pass; ``output_field`` is the state field that
    is the output, or None; ``same`` tells that input and recurrent gates have equal gradients.
    """

    text: str
    saved: int
    output_field: int | None
    same: bool


def generate(equations: TracedCell) -> Source:
    """The kernels of a cell, as the text of a module."""
    saved, update, second = KeptValues(), equations.update, equations.second
    free = next_states(update)
    keep_update = saved.keep(update, free)
    keep_second = [] if second is None else saved.keep(second, {})
    writer = _Writer(equations, saved, same_gates(update) and second is None)
    text = "\n".join([
        _HEADER, writer.forward(keep_update, keep_second), writer.backward(free), "",
    ])  # fmt: skip
    output, *states = update.values
    field = next((i for i, state in enumerate(states) if state is output), None)
    return Source(text, len(saved), field, writer.same)


_HEADER = '''"""Kernels of one cell, written by seqlab from its equations."""

import triton
import triton.language as tl
from seqlab.engines.triton.maths import (
    meet, product, v_atan, v_expm1, v_log1p, v_pow, v_sigmoid, v_tanh,
)
'''
_CONSTANTS = (
    "REVERSE: tl.constexpr, MASKED: tl.constexpr, DROPS: tl.constexpr, BIASED: tl.constexpr, "
    "SAVED: tl.constexpr, GRADED: tl.constexpr, FINALS: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, "
    "DEPTH: tl.constexpr, RESIDENT: tl.constexpr, LOCAL: tl.constexpr, GRID: tl.constexpr, "
    "PRECISION: tl.constexpr, "
    "REAL: tl.constexpr"
)
_PLACE = """
    units = tl.program_id(0) * UNITS + tl.arange(0, UNITS)
    group = first + tl.program_id(1)
    rows = group * ROWS + tl.arange(0, ROWS)
    depth = tl.arange(0, DEPTH)
    in_units, in_rows, in_depth = units < hidden, rows < batch, depth < hidden
    here = in_rows[:, None] & in_units[None, :]
    unit = rows.to(tl.int64)[:, None] * hidden + units[None, :]
    rows64 = rows.to(tl.int64)
    slot = tl.full([], hidden, tl.int64) * batch
    met = 0
"""


class _Writer:
    """Writes the kernels of one cell."""

    def __init__(self, equations: TracedCell, saved: KeptValues, same: bool) -> None:
        self.equations, self.saved, self.same = equations, saved, same
        self.gates, self.first, self.states = (
            equations.gates,
            equations.first_gates,
            equations.states,
        )
        self.own = len(equations.parameters) + len(equations.buffers)
        self.trained = len(equations.parameters)
        self.zoned = len(equations.zoned)

    # -- forward -----------------------------------------------------------------------------

    def forward(self, keep_update: list[Node], keep_second: list[Node]) -> str:
        """The kernel of all steps."""
        second = self.equations.second
        arguments = [
            "x", "x_t", "x_b", "weight", "bias", "mask", "mask_t", "mask_b", "drop", "counter",
            "out", "second", "saved", *self._states("history"), *self._states("start"),
            *self._states("final"), *self._own(), *self._zones(), "steps", "batch", "hidden", "first",
        ]  # fmt: skip
        lines = self._own_loads()
        for gate in range(self.gates):
            lines += self._bias(gate)
        lines += self._weights(range(self.gates), forward=True)
        lines += ["begin = (steps if REVERSE else 0) * slot + unit"]
        for i in range(self.states):
            lines += [
                f"s{i} = tl.load(start{i} + unit, mask=here, other=0.0)",
                f"tl.store(history{i} + begin, s{i}, mask=here)",
            ]
        lines += self._meet()
        body = ["t = steps - 1 - step if REVERSE else step", *_TIMES]
        body += self._masked()
        body += [f"x{g} = tl.load(x + t * x_t + rows64[:, None] * x_b + ({g} * hidden + units)"
                 "[None, :], mask=here, other=0.0).to(REAL)" for g in range(self.gates)]  # fmt: skip
        body += self._zone_loads()
        if self.first:
            body += self._products("history0 + old * slot", "s0", range(self.first))
        if second is not None:
            made = Statements("ub", lambda _: None)
            made.add([*second.values, *keep_second])
            body += made.lines
            vector = self._real(made[second.values[0]])
            body += [f"vector = {vector}", "tl.store(second + t * slot + unit, vector, mask=here)"]
            body += self._store_saved(made, keep_second)
            body += self._meet()
            body += self._products("second + t * slot", "vector", range(self.first, self.gates))
        made = Statements("ua", lambda _: None)
        made.add([*self.equations.update.values, *keep_update])
        body += made.lines
        body += self._store_saved(made, keep_update)
        output, *states = self.equations.update.values
        body += [
            "if GRADED:",
            f"    tl.store(out + t * slot + unit, {self._real(made[output])}, mask=here)",
        ]
        # all of them before one is replaced, for a new field may be an old one
        for i, node in enumerate(states):
            body += [f"n{i} = tl.broadcast_to({made[node]}, [ROWS, UNITS])"]
            body += ["if MASKED:", f"    n{i} = tl.where(real, n{i}, s{i})"]
        for i in range(self.states):
            body += [f"s{i} = n{i}", f"tl.store(history{i} + new * slot + unit, s{i}, mask=here)"]
        body += self._meet_again()
        last = [f"tl.store(final{i} + unit, s{i}, mask=here)" for i in range(self.states)]
        return _function(self._head("forward", arguments), lines, body, last)

    def _real(self, name: str) -> str:
        """A value with zeros at masked rows."""
        return f"tl.where(real, {name}, tl.zeros([ROWS, UNITS], REAL))"

    def _store_saved(self, made: Statements, nodes: Sequence[Node]) -> list[str]:
        if not nodes:
            return []
        stores = [
            f"tl.store(saved + kept + {self.saved.places[n]} * hidden, "
            f"tl.broadcast_to({made[n]}, [ROWS, UNITS]), mask=here)"
            for n in nodes
        ]
        return ["if SAVED:", *_indented([self._kept(), *stores])]

    def _kept(self) -> str:
        count = len(self.saved)
        return f"kept = (t * batch + rows64)[:, None] * ({count} * hidden) + units[None, :]"

    # -- backward ----------------------------------------------------------------------------

    def backward(self, free: dict[Node, Place]) -> str:
        """The kernel of all steps backward; what is left is products over all steps."""
        second = self.equations.second
        arguments = [
            "weight", "mask", "mask_t", "mask_b", "drop", "counter", "saved",
            *self._states("history"), *self._own(), *self._zones(), "d_out", "d_t", "d_b",
            "d_x", "d_h", *self._states("d_final"), *self._states("d_start"), *[f"d_own{i}" for i in range(self.trained)],
            "steps", "batch", "hidden", "first",
        ]  # fmt: skip
        lines = self._own_loads()
        lines += self._weights(range(self.gates), forward=False)
        for i in range(self.states):
            load = f"tl.load(d_final{i} + unit, mask=here, other=0.0)"
            lines += [f"d{i} = tl.zeros([ROWS, UNITS], REAL)", "if FINALS:", f"    d{i} = {load}"]
        lines += [f"g_h{g} = tl.zeros([ROWS, UNITS], REAL)" for g in range(self.gates)]
        lines += [f"o{i} = tl.zeros([ROWS, UNITS], REAL)" for i in range(self.trained)]
        body = [
            "t = step if REVERSE else steps - 1 - step", *_TIMES,
            "later = t - 1 if REVERSE else t + 1",
        ]  # fmt: skip
        body += self._masked()
        body += self._zone_loads()
        body += [
            "d_output = tl.zeros([ROWS, UNITS], REAL)",
            "if GRADED:",
            "    d_output = tl.load(d_out + t * d_t + rows64[:, None] * d_b + units[None, :], "
            "mask=here & real, other=0.0).to(REAL)",
            self._kept(),
        ]
        body += self._input_loads(
            [self.equations.update, *([] if second is None else [second])], free
        )
        if self.first:
            # a program that holds the gradients holds zeros at first
            back = [*self._back("later", range(self.first)), "d0 += back"]
            body += ["if LOCAL:", *_indented(back)]
            body += ["else:", "    if step > 0:", *_indented(_indented(back))]
        made = Statements("ua", lambda node: self._loaded(node, free))
        made.add(self.equations.update.gradients)
        body += made.lines
        grads = self._gradients(self.equations.update, made)
        body += [f"g_h{g} = {self._real(grads['h', g])}" for g in range(self.gates)]
        if not self.same:
            body += [f"g_x{g} = {self._real(grads['x', g])}" for g in range(self.gates)]
        body += self._own_gradients(grads)
        body += [f"e{i} = tl.where(real, {grads['s', i]}, d{i})" for i in range(self.states)]
        body += [f"d{i} = e{i}" for i in range(self.states)]
        if second is not None:
            body += self._stores("d_h", "g_h", range(self.first, self.gates))
            body += self._meet()
            body += self._back("t", range(self.first, self.gates))
            body += ["d_second = back"]
            made = Statements("ub", lambda node: self._loaded(node, {}))
            made.add(second.gradients)
            body += made.lines
            grads = self._gradients(second, made)
            body += [f"g_h{g} += {self._real(grads['h', g])}" for g in range(self.first)]
            body += [f"g_x{g} += {self._real(grads['x', g])}" for g in range(self.gates)]
            body += [f"d{i} += {self._real(grads['s', i])}" for i in range(self.states)]
            body += self._own_gradients(grads)
        body += self._stores("d_h", "g_h", range(self.first if second is not None else self.gates))
        if not self.same:
            body += self._stores("d_x", "g_x", range(self.gates))
        body += self._meet_again()
        last = [f"tl.store(d_start{i} + unit, d{i}, mask=here)" for i in range(self.states)]
        last += [
            f"tl.store(d_own{i} + group * hidden + units, tl.sum(o{i}, 0), mask=in_units)"
            for i in range(self.trained)
        ]
        return _function(self._head("backward", arguments), lines, body, last)

    def _stores(self, where: str, name: str, gates: Iterable[int]) -> list[str]:
        return [f"tl.store({where} + gate + {g} * hidden, {name}{g}, mask=here)" for g in gates]

    def _own_gradients(self, grads: dict[tuple[str, int], str]) -> list[str]:
        zero = "tl.zeros([ROWS, UNITS], REAL)"
        return [
            f"o{i} += tl.where(here & real, {grads['p', i]}, {zero})" for i in range(self.trained)
        ]

    def _gradients(self, traced: TracedFunction, made: Statements) -> dict[tuple[str, int], str]:
        zero = "tl.zeros([ROWS, UNITS], REAL)"
        found = {}
        for node, gradient in zip(traced.inputs, traced.gradients, strict=True):
            found[node.value.kind, node.value.name] = made[gradient]
        for kind, count in (
            ("h", self.gates),
            ("x", self.gates),
            ("s", self.states),
            ("p", self.own),
        ):
            for index in range(count):
                found.setdefault((kind, index), zero)
        return found

    def _loaded(self, node: Node, free: dict[Node, Place]) -> str | None:
        place = self.saved.place(node, free)
        return None if place is None else f"{'k' if place.kind == 'saved' else 'n'}{place.number}"

    def _input_loads(
        self, functions: Iterable[TracedFunction], free: dict[Node, Place]
    ) -> list[str]:
        """What the backward equations read from memory: values kept, states before and after."""
        names: dict[str, None] = {}
        for function in functions:
            known = free if function is self.equations.update else {}
            for node in ordered(function.gradients, lambda n: self._loaded(n, known) is not None):
                name = self._loaded(node, known)
                if name is not None:
                    names[name] = None
                elif node.op == "symbol" and node.value.kind == "s":
                    names[f"s{node.value.name}"] = None
        lines = []
        for name in names:
            kind, number = name[0], name[1:]
            where = {
                "k": f"saved + kept + {number} * hidden",
                "n": f"history{number} + new * slot + unit",
                "s": f"history{number} + old * slot + unit",
            }[kind]
            lines.append(f"{name} = tl.load({where}, mask=here, other=0.0)")
        return lines

    def _back(self, time: str, gates: Sequence[int]) -> list[str]:
        """The gradient of what some gates' rows of the matrix multiplied at a time."""
        lines = ["back = tl.zeros([ROWS, UNITS], REAL)"]
        factor = "tl.load(drop + (rows64[:, None] * DROPS + {m}) * hidden + units[None, :], mask=here, other=0.0)"
        source = "d_h + ({time} * batch + rows64)[:, None] * ({G} * hidden) + ({g} * hidden + {d})[None, :]"
        for gate in gates:
            load = f"tl.load({source.format(time=time, G=self.gates, g=gate, d='depth')}, mask=in_rows[:, None] & in_depth[None, :], other=0.0, cache_modifier='.cg')"
            far = f"tl.load({source.format(time=time, G=self.gates, g=gate, d='at')}, mask=in_rows[:, None] & (at < hidden)[None, :], other=0.0, cache_modifier='.cg')"
            lines += [
                "if LOCAL:",
                f"    term = product(g_h{gate}, w{gate}, PRECISION)",
                "elif RESIDENT:",
                f"    term = product({load}, w{gate}, PRECISION)",
                "else:",
                "    term = tl.zeros([ROWS, UNITS], REAL)",
                "    for k in range(0, hidden, DEPTH):",
                "        at = k + depth",
                f"        term += product({far}, {_weight(gate, 'at', forward=False)}, PRECISION)",
                "if DROPS > 1:",
                f"    term *= {factor.format(m=gate)}",
                "back += term",
            ]  # fmt: skip
        return [*lines, "if DROPS == 1:", f"    back *= {factor.format(m=0)}"]

    # -- both --------------------------------------------------------------------------------

    def _head(self, name: str, arguments: list[str]) -> list[str]:
        changing = {"steps", "batch", "first", "x_t", "x_b", "mask_t", "mask_b", "d_t", "d_b"}
        quoted = ", ".join(f'"{name}"' for name in arguments if name in changing)
        return [
            f"@triton.jit(do_not_specialize=[{quoted}])",
            f"def {name}({', '.join(arguments)}, {_CONSTANTS}):", *_PLACE.splitlines()[1:],
        ]  # fmt: skip

    def _own_loads(self) -> list[str]:
        return [
            f"p{i} = tl.load(own{i} + units, mask=in_units, other=0.0)[None, :]"
            for i in range(self.own)
        ]

    def _states(self, name: str) -> list[str]:
        return [f"{name}{i}" for i in range(self.states)]

    def _own(self) -> list[str]:
        return [f"own{i}" for i in range(self.own)]

    def _zones(self) -> list[str]:
        return [f"zone{i}" for i in range(self.zoned)]

    def _zone_loads(self) -> list[str]:
        return [
            f"z{i} = tl.load(zone{i} + t * slot + unit, mask=here, other=0.0)"
            for i in range(self.zoned)
        ]

    def _masked(self) -> list[str]:
        return [
            "real = in_rows[:, None]",
            "if MASKED:",
            "    real = tl.load(mask + t * mask_t + rows64 * mask_b, mask=in_rows, other=0)[:, None] != 0",
            f"gate = (t * batch + rows64)[:, None] * ({self.gates} * hidden) + units[None, :]",
        ]

    def _meet(self) -> list[str]:
        meet = ["met += 1", "meet(counter + group, met * tl.num_programs(0), GRID)"]
        return ["if not LOCAL:", *_indented(meet)]

    def _meet_again(self) -> list[str]:
        """Unless this was the last step."""
        meet = ["met += 1", "meet(counter + group, met * tl.num_programs(0), GRID)"]
        return ["if not LOCAL:", "    if step + 1 < steps:", *_indented(_indented(meet))]

    def _bias(self, gate: int) -> list[str]:
        load = f"tl.load(bias + {gate} * hidden + units, mask=in_units, other=0.0)[None, :]"
        return [f"b{gate} = tl.zeros([1, UNITS], REAL)", "if BIASED:", f"    b{gate} = {load}"]

    def _weights(self, gates: Iterable[int], *, forward: bool) -> list[str]:
        loads = [f"w{g} = {_weight(g, 'depth', forward=forward)}" for g in gates]
        return ["if RESIDENT:", *_indented(loads)]

    def _products(self, source: str, held: str, gates: Sequence[int]) -> list[str]:
        """The recurrent parts of some gates; a program that has all units holds the vector."""

        def vector(at: str) -> str:
            inside = "in_depth" if at == "depth" else f"({at} < hidden)"
            return (
                f"tl.load({source} + rows64[:, None] * hidden + {at}[None, :], "
                f"mask=in_rows[:, None] & {inside}[None, :], other=0.0, cache_modifier='.cg')"
            )

        def masked(name: str, at: str, which: str) -> str:
            inside = "in_depth" if at == "depth" else f"({at} < hidden)"
            return (
                f"{name} * tl.load(drop + (rows64[:, None] * DROPS + {which}) * hidden + "
                f"{at}[None, :], mask=in_rows[:, None] & {inside}[None, :], other=0.0)"
            )

        def each(at: str, weights: Callable[[int], str], op: str) -> list[str]:
            lines = [f"v = {vector(at)}"]
            if at == "depth":
                lines = ["if LOCAL:", f"    v = {held}", "else:", f"    {lines[0]}"]
            lines += ["if DROPS == 1:", f"    v = {masked('v', at, '0')}"]
            for gate in gates:
                lines += [
                    "if DROPS > 1:",
                    f"    h{gate} {op} product({masked('v', at, str(gate))}, {weights(gate)}, PRECISION)",
                    "else:",
                    f"    h{gate} {op} product(v, {weights(gate)}, PRECISION)",
                ]
            return lines

        zeros = [f"h{g} = tl.zeros([ROWS, UNITS], REAL)" for g in gates]
        far = each("at", lambda g: _weight(g, "at", forward=True), "+=")
        return [
            "if RESIDENT:", *_indented(each("depth", lambda g: f"w{g}", "=")),
            "else:", *_indented([*zeros, "for k in range(0, hidden, DEPTH):",
                                 *_indented(["at = k + depth", *far])]),
            *[f"h{g} += b{g}" for g in gates],
        ]  # fmt: skip


_TIMES = ("old = t + 1 if REVERSE else t", "new = t if REVERSE else t + 1")


def _weight(gate: int, at: str, *, forward: bool) -> str:
    """A tile of the recurrent matrix ``[DEPTH, UNITS]``; its own rows are the units if forward."""
    inside = "in_depth" if at == "depth" else f"({at} < hidden)"
    place = (
        f"({gate} * hidden + units[None, :]) * hidden + {at}[:, None]"
        if forward
        else f"({gate} * hidden + {at}[:, None]) * hidden + units[None, :]"
    )
    return f"tl.load(weight + {place}, mask={inside}[:, None] & in_units[None, :], other=0.0)"


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _function(head: list[str], setup: list[str], body: list[str], last: Iterable[str] = ()) -> str:
    loop = ["    for step in range(steps):", *_indented(_indented(body))]
    return "\n".join([*head, *_indented(setup), *loop, *_indented(last), ""])
