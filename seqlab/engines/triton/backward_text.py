"""The text of the kernel of all steps backward."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from seqlab.engines.traced.kept_values import KeptValues, Place
from seqlab.engines.traced.traced_cell import TracedCell, TracedFunction
from seqlab.engines.triton.kernel_text import (
    REAL_ROWS,
    ZEROS,
    function,
    gates_at,
    load,
    meet,
    numbered,
    of_real_rows,
    store,
    when,
)  # fmt: skip
from seqlab.engines.triton.matrix_text import MatrixText
from seqlab.engines.triton.statements import Statements
from seqlab.expressions import Node, ordered


class Backward:
    """Writes the kernel of one cell. What is left of its gradients are products over all steps."""

    def __init__(
        self, equations: TracedCell, kept: KeptValues, *, same: bool, blocked: bool
    ) -> None:
        self.equations, self.kept, self.same = equations, kept, same
        self.matrix = MatrixText(blocked)
        self.gates, self.states = equations.gates, equations.states
        self.own = len(equations.parameters) + len(equations.buffers)
        self.trained = len(equations.parameters)

    def _vector(self) -> TracedFunction | None:
        return self.equations.later[0].vector if self.equations.later else None

    def text(self, free: dict[Node, Place]) -> str:
        """The kernel; ``free`` are values that need not be kept."""
        update, second = self.equations.update, self._vector()
        first, zones = range(self.equations.first_gates), len(self.equations.zoned)
        arguments = [
            "weight", "mask", "mask_t", "mask_b", "drop", "counter", "saved",
            *numbered("history", self.states), *numbered("own", self.own),
            *numbered("zone", zones), "d_out", "d_t", "d_b", "d_x", "d_h",
            *numbered("d_final", self.states), *numbered("d_start", self.states),
            *numbered("d_own", self.trained), "steps", "batch", "hidden", "size", "first",
        ]  # fmt: skip
        inputs = self._inputs(free)
        step = [
            "t = step if REVERSE else steps - 1 - step",
            "later = t - 1 if REVERSE else t + 1", f"gate = {gates_at('t', self.gates, 'units')}",
            f"part = {gates_at('t', self.equations.inputs, 'units')}",
            *REAL_ROWS,
        ]  # fmt: skip
        if first:
            # a program that holds the gradients holds zeros at first
            back = [*self._back("later", first), "d0 += back"]
            step += when("LOCAL", back, when("step > 0", back))
        made = Statements("ua", lambda node: self._loaded(node, free))
        made.add(update.gradients)
        grads = _gradients(update, made)
        step += made.lines
        step += [f"g_h{g} = {of_real_rows(grads.get(('h', g), ZEROS))}" for g in range(self.gates)]
        if not self.same:
            step += [
                f"g_x{g} = {of_real_rows(grads.get(('x', g), ZEROS))}"
                for g in range(self.equations.inputs)
            ]
        step += self._sums(grads)
        step += [f"e{i} = tl.where(real, {grads['s', i]}, d{i})" for i in range(self.states)]
        step += [f"d{i} = e{i}" for i in range(self.states)]
        if second is not None:
            step += self._second(second)
        # the next step's values come while the others are waited for
        ahead = ["ahead = t + 1 if REVERSE else t - 1", "more = here & (step + 1 < steps)"]
        step += [*ahead, *_at("ahead", inputs, "more")]
        step += self._stores("h", first if second is not None else range(self.gates))
        if not self.same:
            step += self._stores("x", range(self.equations.inputs))
        step += meet(again=True)
        last = [store(f"d_start{i} + unit", f"d{i}") for i in range(self.states)]
        last += [
            f"tl.store(d_own{i} + group * hidden + units, tl.sum(o{i}, 0), mask=in_units)"
            for i in range(self.trained)
        ]
        setup = [*self._setup(), *_at("(0 if REVERSE else steps - 1)", inputs, "here")]
        return function("backward", arguments, setup, step, last)

    def _setup(self) -> list[str]:
        lines = self.matrix.depth().copy()
        lines += [f"p{i} = {load(f'own{i} + units', 'in_units')}[None, :]" for i in range(self.own)]
        lines += self.matrix.weights(self.gates, forward=False)
        for i in range(self.states):
            lines += [f"d{i} = {ZEROS}", *when("FINALS", [f"d{i} = {load(f'd_final{i} + unit')}"])]
        lines += [f"g_h{g} = {ZEROS}" for g in range(self.gates)]
        return [*lines, *[f"o{i} = {ZEROS}" for i in range(self.trained)]]

    def _second(self, second: TracedFunction) -> list[str]:
        """Back through the second product and what it multiplied."""
        gates = range(self.equations.first_gates, self.gates)
        made = Statements("ub", lambda node: self._loaded(node, {}))
        made.add(second.gradients)
        grads = _gradients(second, made)
        lines = [*self._stores("h", gates), *meet(again=False), *self._back("t", gates)]
        lines += ["d_second = back", *made.lines]
        for kind, name in (("h", "g_h"), ("x", "g_x"), ("s", "d")):
            lines += [
                f"{name}{index} += {of_real_rows(value)}"
                for (of, index), value in grads.items()
                if of == kind
            ]
        return [*lines, *self._sums(grads)]

    def _stores(self, kind: str, gates: Iterable[int]) -> list[str]:
        place = {"h": "gate", "x": "part"}[kind]
        return [store(f"d_{kind} + {place} + {g} * hidden", f"g_{kind}{g}") for g in gates]

    def _sums(self, grads: dict[tuple[str, int], str]) -> list[str]:
        """The gradients of the cell's own parameters, over time."""
        return [
            f"o{i} += {of_real_rows(grads['p', i])}"
            for i in range(self.trained)
            if ("p", i) in grads
        ]

    def _loaded(self, node: Node, free: dict[Node, Place]) -> str | None:
        place = self.kept.place(node, free)
        return None if place is None else f"{'k' if place.kind == 'saved' else 'n'}{place.number}"

    def _inputs(self, free: dict[Node, Place]) -> dict[str, str]:
        """What a step's equations read from memory, by name: where it lies at time ``TIME``."""
        update, second = self.equations.update, self._vector()
        kept = gates_at("TIME", len(self.kept), "units")
        places = {
            "k": f"saved + {kept} + {{}} * hidden",
            "n": "history{} + (TIME if REVERSE else TIME + 1) * slot + unit",
            "s": "history{} + (TIME + 1 if REVERSE else TIME) * slot + unit",
            "z": "zone{} + TIME * slot + unit",
        }
        found = {}
        functions = [(update, free), *([] if second is None else [(second, {})])]
        for function_, known in functions:
            stop = lambda n, known=known: self._loaded(n, known) is not None  # noqa: E731  # short
            for node in ordered(function_.gradients, stop):
                name = self._loaded(node, known)
                if name is None and node.op == "symbol" and node.value.kind in {"s", "z"}:
                    name = f"{node.value.kind}{node.value.name}"
                if name is not None:
                    found[name] = places[name[0]].format(name[1:])
        return found

    def _back(self, time: str, gates: Sequence[int]) -> list[str]:
        """``back``: the gradient of what some gates' rows of the matrix multiplied at a time."""
        factor = "drop + (rows[:, None] * DROPS + {}) * hidden + units[None, :]"
        lines = [f"back = {ZEROS}"]
        for gate in gates:

            def gradient(units: str, gate: int = gate) -> str:
                at = gates_at(time, self.gates, f"{gate} * hidden + {units}")
                return self.matrix.shared(f"d_h + {at}", units)

            matrix = self.matrix.weight(gate, "at", forward=False)
            whole = f"term = product({gradient('depth')}, w{gate}, PRECISION)"
            pieces = self.matrix.in_pieces(
                [f"term += product({gradient('at')}, {matrix}, PRECISION)"]
            )
            lines += [
                "if LOCAL:", f"    term = product(g_h{gate}, w{gate}, PRECISION)",
                "elif RESIDENT:", f"    {whole}",
                "else:", f"    term = {ZEROS}", *[f"    {line}" for line in pieces],
                *when("DROPS > 1", [f"term *= {load(factor.format(gate))}"]), "back += term",
            ]  # fmt: skip
        return [*lines, *when("DROPS == 1", [f"back *= {load(factor.format(0))}"])]


def _gradients(traced: TracedFunction, made: Statements) -> dict[tuple[str, int], str]:
    return {
        (node.value.kind, node.value.name): made[gradient]
        for node, gradient in zip(traced.inputs, traced.gradients, strict=True)
    }


def _at(time: str, inputs: dict[str, str], condition: str) -> list[str]:
    """The loads of a time's values, and of its output's gradient."""
    lines = [
        f"{name} = {load(where.replace('TIME', time), condition)}" for name, where in inputs.items()
    ]
    place = f"d_out + {time} * d_t + rows[:, None] * d_b + units[None, :]"
    return [
        *lines, f"d_output = {ZEROS}",
        *when("GRADED", [f"d_output = {load(place, condition)}.to(REAL)"]),
    ]  # fmt: skip
