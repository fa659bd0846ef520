"""The text of kernels that run the equations of one step; its products are made between them.

``vectorN`` computes what a later recurrent product multiplies, ``update`` the output and the next
state, and ``..._backward`` the way back. Their arguments are the same for all, see ``FORWARD``
and ``BACKWARD``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from seqlab.engines.traced.kept_values import KeptValues, Place
from seqlab.engines.traced.traced_cell import TracedCell, TracedFunction
from seqlab.engines.triton.kernel_text import (
    REAL_ROWS,
    TILE,
    gates_at,
    kernel,
    load,
    numbered,
    of_real_rows,
    store,
    when,
)  # fmt: skip
from seqlab.engines.triton.statements import Statements
from seqlab.expressions import Node, ordered

#: What the code depends on beside the equations.
CONSTANTS = ("MASKED", "BIASED", "SAVED", "GRADED", "ROWS", "UNITS", "REAL")
_PLACE = ["group = tl.program_id(1)", *TILE, *REAL_ROWS]


class StepText:
    """Writes the kernels of one cell.

    ``same``: input and recurrent parts of all gates have equal gradients, which are one memory.
    """

    def __init__(self, equations: TracedCell, kept: KeptValues, *, same: bool) -> None:
        self.equations, self.kept, self.same = equations, kept, same
        own = len(equations.parameters) + len(equations.buffers)
        self.state = [*numbered("history", equations.states), *numbered("own", own),
                      *numbered("zone", len(equations.zoned))]  # fmt: skip
        # the time, where what is kept of it lies, and the states before and after it
        self.times = ["t", "kept_t", *numbered("old", equations.states),
                      *numbered("new", equations.states), "batch", "hidden"]  # fmt: skip
        self.narrow = 0 if equations.narrows else None

    def forward(self, name: str, traced: TracedFunction, keep: list[Node]) -> str:
        """A kernel of the values of one function; the nodes are kept for the way back."""
        equations = self.equations
        arguments = [
            "x", "x_t", "x_b", *numbered("gates", equations.products), "bias",
            "mask", "mask_t", "mask_b", "out", "wide", "vector", "saved", *self.state, *self.times,
        ]  # fmt: skip
        made = Statements("ua", lambda _: None)
        made.add([*traced.values, *keep])
        body = [*_PLACE, *self._loads(_symbols([*traced.values, *keep]), {}), *made.lines]
        if keep:
            kept = f"kept = {gates_at('kept_t', len(self.kept), 'units')}"
            places = [f"saved + kept + {self.kept.places[node]} * hidden" for node in keep]
            stores = [store(at, made[node]) for at, node in zip(places, keep, strict=True)]
            body += when("SAVED", [kept, *stores])
        if traced is equations.update:
            body += self._next(made)
        else:
            value = of_real_rows(made[traced.values[0]])
            body.append(store("vector + kept_t * slot + unit", value))
        return kernel(name, arguments, CONSTANTS, body)

    def _next(self, made: Statements) -> list[str]:
        """The output and the states after the step; what is narrowed goes to ``wide`` instead."""
        output, *fields = self.equations.update.values
        lines = []
        if self.narrow is None:
            lines += when("GRADED", [store("out + t * slot + unit", of_real_rows(made[output]))])
        for i, node in enumerate(fields):
            if i == self.narrow:
                lines.append(store("wide + kept_t * slot + unit", of_real_rows(made[node])))
                continue
            lines.append(f"n{i} = tl.broadcast_to({made[node]}, [ROWS, UNITS])")
            old = load(f"history{i} + old{i} * slot + unit")
            lines += when("MASKED", [f"n{i} = tl.where(real, n{i}, {old})"])
            lines.append(store(f"history{i} + new{i} * slot + unit", f"n{i}"))
        return lines

    def backward(self, name: str, traced: TracedFunction, free: dict[Node, Place]) -> str:
        """A kernel of the gradients of one function; ``free`` are values that are not kept."""
        equations = self.equations
        arguments = [
            "mask", "mask_t", "mask_b", "wide", "saved", *self.state, "d_out", "d_t", "d_b",
            "d_vector", "d_wide", "d_x", "d_h", *numbered("d_state", equations.states),
            *numbered("d_own", len(equations.parameters)), *self.times,
        ]  # fmt: skip

        def loaded(node: Node) -> str | None:
            place = self.kept.place(node, free)
            return None if place is None else f"{place.kind[0]}_{place.number}"

        made = Statements("ua", loaded)
        made.add(traced.gradients)
        grads = {
            node.value: made[gradient]
            for node, gradient in zip(traced.inputs, traced.gradients, strict=True)
        }
        read = ordered(traced.gradients, lambda node: loaded(node) is not None)
        places = {at: self._at(n, free) for n in read if (at := loaded(n)) is not None}
        symbols = _symbols(traced.gradients, loaded)
        add = traced is not equations.update
        if not add:  # a masked step leaves these as they are
            states = [("ds", i) for i in range(equations.states) if i != self.narrow]
            symbols = list(dict.fromkeys([*symbols, *states]))
        body = [*_PLACE, *self._loads(symbols, places), *made.lines]
        for kind, at in (("x", f"d_x + {gates_at('t', equations.inputs, 'units')}"),
                         ("h", f"d_h + {gates_at('t', equations.gates, 'units')}")):  # fmt: skip
            if kind == "x" and self.same:
                continue
            for (of, gate), value in grads.items():
                if of == kind:
                    body += _put(f"{at} + {gate} * hidden", of_real_rows(value), add=add)
        for (of, index), value in grads.items():
            if of == "s" and index != self.narrow:
                at = f"d_state{index} + unit"
                changed = of_real_rows(value) if add else f"tl.where(real, {value}, d{index})"
                body += _put(at, changed, add=add)
            if of == "p" and index < len(equations.parameters):
                at = f"d_own{index} + group * hidden + units"
                total = f"{load(at, 'in_units')} + tl.sum({of_real_rows(value)}, 0)"
                body.append(f"tl.store({at}, {total}, mask=in_units)")
        return kernel(name, arguments, CONSTANTS, body)

    def _at(self, node: Node, free: dict[Node, Place]) -> str:
        """Where a value of the way forward lies."""
        place = self.kept.place(node, free)
        assert place is not None  # noqa: S101  # it is asked of such values alone
        if place.kind == "saved":
            at = gates_at("kept_t", len(self.kept), "units")
            return f"saved + {at} + {place.number} * hidden"
        if place.number == self.narrow:
            return "wide + kept_t * slot + unit"
        return f"history{place.number} + new{place.number} * slot + unit"

    def _loads(self, symbols: Iterable[tuple[str, int]], places: dict[str, str]) -> list[str]:
        """The inputs of a kernel, by the names that ``Statements`` has for them."""
        lines = [f"{name} = {load(place)}" for name, place in places.items()]
        for kind, index in symbols:
            lines += getattr(self, f"_load_{kind}")(index)
        return lines

    def _load_x(self, part: int) -> list[str]:
        at = f"x + t * x_t + rows[:, None] * x_b + ({part} * hidden + units)[None, :]"
        return [f"x{part} = {load(at)}.to(REAL)"]

    def _load_h(self, gate: int) -> list[str]:
        starts = self.equations.starts
        product = max(i for i, start in enumerate(starts[:-1]) if start <= gate < starts[i + 1])
        count, among = starts[product + 1] - starts[product], gate - starts[product]
        at = f"rows[:, None] * ({count} * hidden) + ({among} * hidden + units)[None, :]"
        bias = f"{load(f'bias + {gate} * hidden + units', 'in_units')}[None, :]"
        return [f"h{gate} = {load(f'gates{product} + {at}')}",
                *when("BIASED", [f"h{gate} += {bias}"])]  # fmt: skip

    def _load_s(self, field: int) -> list[str]:
        return [f"s{field} = {load(f'history{field} + old{field} * slot + unit')}"]

    def _load_p(self, index: int) -> list[str]:
        return [f"p{index} = {load(f'own{index} + units', 'in_units')}[None, :]"]

    def _load_z(self, index: int) -> list[str]:
        return [f"z{index} = {load(f'zone{index} + t * slot + unit')}"]

    def _load_ds(self, field: int) -> list[str]:
        at = "d_wide" if field == self.narrow else f"d_state{field}"
        return [f"d{field} = {load(f'{at} + unit')}"]

    def _load_do(self, _: int) -> list[str]:
        at = "d_out + t * d_t + rows[:, None] * d_b + units[None, :]"
        return ["d_output = tl.zeros([ROWS, UNITS], REAL)",
                *when("GRADED", [f"d_output = {load(at)}.to(REAL)"])]  # fmt: skip

    def _load_dv(self, _: int) -> list[str]:
        return [f"d_second = {load('d_vector + unit')}"]


def _put(at: str, value: str, *, add: bool) -> list[str]:
    return [store(at, f"{load(at)} + {value}" if add else value)]


def _symbols(
    nodes: Sequence[Node], loaded: Callable[[Node], str | None] = lambda _: None
) -> list[tuple[str, int]]:
    """The inputs that some nodes are computed from, where nothing else holds their value."""
    found = ordered(nodes, lambda node: loaded(node) is not None)
    return [tuple(n.value) for n in found if n.op == "symbol" and loaded(n) is None]
