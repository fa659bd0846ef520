"""The text of the kernel of all steps forward."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from seqlab.engines.traced.kept_values import KeptValues
from seqlab.engines.traced.traced_cell import TracedCell
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
from seqlab.expressions import Node


class Forward:
    """Writes the kernel of one cell; ``blocked``: its recurrent matrix is block-diagonal."""

    def __init__(self, equations: TracedCell, kept: KeptValues, *, blocked: bool) -> None:
        self.equations, self.kept, self.matrix = equations, kept, MatrixText(blocked)
        self.own = len(equations.parameters) + len(equations.buffers)

    def text(self, keep_update: list[Node], keep_second: list[Node]) -> str:
        """The kernel; the nodes are those whose values are kept."""
        gates, first, states = (
            self.equations.gates,
            self.equations.first_gates,
            self.equations.states,
        )
        zones = len(self.equations.zoned)
        arguments = [
            "x", "x_t", "x_b", "weight", "bias", "mask", "mask_t", "mask_b", "drop", "counter",
            "out", "second", "saved", *numbered("history", states), *numbered("start", states),
            *numbered("final", states), *numbered("own", self.own), *numbered("zone", zones),
            "steps", "batch", "hidden", "size", "first",
        ]  # fmt: skip
        step = [
            "t = steps - 1 - step if REVERSE else step",
            "old = t + 1 if REVERSE else t", "new = t if REVERSE else t + 1",
            *REAL_ROWS, *[f"z{i} = {load(f'zone{i} + t * slot + unit')}" for i in range(zones)],
            *(self._products("history0 + old * slot", "s0", range(first)) if first else []),
            *self._second(keep_second),
        ]  # fmt: skip
        made = Statements("ua", lambda _: None)
        made.add([*self.equations.update.values, *keep_update])
        output, *fields = self.equations.update.values
        step += made.lines
        step += self._keep(made, keep_update)
        step += when("GRADED", [store("out + t * slot + unit", of_real_rows(made[output]))])
        # all of them before one is replaced, for a new field may be an old one
        for i, node in enumerate(fields):
            step.append(f"n{i} = tl.broadcast_to({made[node]}, [ROWS, UNITS])")
            step += when("MASKED", [f"n{i} = tl.where(real, n{i}, s{i})"])
        for i in range(states):
            # a product runs over all units: past the end there must be no nonsense
            step += [
                f"s{i} = tl.where(here, n{i}, {ZEROS})",
                store(f"history{i} + new * slot + unit", f"s{i}"),
            ]
        # the next step's input comes while the others are waited for
        step += ["ahead = t - 1 if REVERSE else t + 1"]
        step += self._inputs("ahead", "here & (step + 1 < steps)")
        step += meet(again=True)
        last = [store(f"final{i} + unit", f"s{i}") for i in range(states)]
        return function("forward", arguments, self._setup(gates, states), step, last)

    def _setup(self, gates: int, states: int) -> list[str]:
        condition = "in_units"
        lines = self.matrix.depth().copy()
        lines += [f"p{i} = {load(f'own{i} + units', condition)}[None, :]" for i in range(self.own)]
        for gate in range(gates):
            bias = load(f"bias + {gate} * hidden + units", condition)
            lines += [f"b{gate} = tl.zeros([1, UNITS], REAL)"]
            lines += when("BIASED", [f"b{gate} = {bias}[None, :]"])
        lines += [
            *self.matrix.weights(gates, forward=True),
            "begin = (steps if REVERSE else 0) * slot + unit",
        ]
        for i in range(states):
            lines += [f"s{i} = {load(f'start{i} + unit')}", store(f"history{i} + begin", f"s{i}")]
        beginning = "(steps - 1 if REVERSE else 0)"
        return [*lines, *self._inputs(beginning, "here"), *meet(again=False)]

    def _inputs(self, time: str, condition: str) -> list[str]:
        return [
            f"x{g} = tl.load(x + {time} * x_t + rows[:, None] * x_b + ({g} * hidden + units)"
            f"[None, :], mask={condition}, other=0.0).to(REAL)"
            for g in range(self.equations.inputs)
        ]

    def _second(self, keep: list[Node]) -> list[str]:
        """What the second product multiplies, and that product."""
        if not self.equations.later:
            return []
        second = self.equations.later[0].vector
        made = Statements("ub", lambda _: None)
        made.add([*second.values, *keep])
        vector = of_real_rows(made[second.values[0]])
        gates = range(self.equations.first_gates, self.equations.gates)
        return [
            *made.lines, f"vector = {vector}", store("second + t * slot + unit", "vector"),
            *self._keep(made, keep), *meet(again=False),
            *self._products("second + t * slot", "vector", gates),
        ]  # fmt: skip

    def _keep(self, made: Statements, nodes: Sequence[Node]) -> list[str]:
        if not nodes:
            return []
        kept = f"kept = {gates_at('t', len(self.kept), 'units')}"
        stores = [
            store(f"saved + kept + {self.kept.places[node]} * hidden", made[node]) for node in nodes
        ]
        return when("SAVED", [kept, *stores])

    def _products(self, source: str, held: str, gates: Sequence[int]) -> list[str]:
        """The recurrent parts of some gates; ``held`` is the vector where the program has it."""

        def vector(units: str) -> str:
            return self.matrix.shared(
                f"{source} + rows[:, None] * hidden + {units}[None, :]", units
            )

        def dropped(units: str, which: int) -> str:
            place = f"drop + (rows[:, None] * DROPS + {which}) * hidden + {units}[None, :]"
            return f"v * {load(place, f'in_rows[:, None] & {self.matrix.inside(units)}[None, :]')}"

        def each(units: str, matrix: Callable[[int], str], op: str) -> list[str]:
            lines = when("DROPS == 1", [f"v = {dropped(units, 0)}"])
            for gate in gates:
                made = f"h{gate} {op} product({{}}, {matrix(gate)}, PRECISION)"
                many = made.format(dropped(units, gate))
                lines += when("DROPS > 1", [many], [made.format("v")])
            return lines

        piece = functools.partial(self.matrix.weight, depth="at", forward=True)
        whole = when("LOCAL", [f"v = {held}"], [f"v = {vector('depth')}"])
        pieces = [
            *[f"h{g} = {ZEROS}" for g in gates],
            *self.matrix.in_pieces([
                f"v = {vector('at')}", *each("at", piece, "+="),
            ]),
        ]  # fmt: skip
        return [
            *when("RESIDENT", [*whole, *each("depth", lambda g: f"w{g}", "=")], pieces),
            *[f"h{g} += b{g}" for g in gates],
        ]
