"""All that a cell says of itself, gathered: gates, sizes, cost, equations, diagram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqlab import registry
from seqlab.cells.base import Cell, state_fields
from seqlab.construct import construct
from seqlab.introspection.diagram import Diagram, as_mermaid, as_text, diagram_of
from seqlab.introspection.memory_cost import MemoryCost, memory_cost
from seqlab.introspection.naming import equations_of
from seqlab.introspection.recorded_step import UntraceableError
from seqlab.introspection.rendering import latex_equations, plain_equations
from seqlab.introspection.sizes import Formula, Parameter, fit, parameter_formulas, probes_of, total

#: The widths (D = H) for which numbers are shown.
WIDTHS = (64, 128, 256, 512)


@dataclass(frozen=True)
class CellCard:
    """What is shown of a cell.

    ``reason`` says why there are no equations, where the code cannot be traced; ``operations``
    counts the elementwise operators of one unit in one step, ``memory`` the work on a memory that
    is a matrix. What a cell that cannot be traced computes beside these is not counted.
    """

    name: str
    options: dict[str, Any]
    gates: tuple[str, ...]
    state: dict[str, str]
    parameters: list[Parameter]
    equations: list[tuple[str, str]]
    latex: str
    operations: dict[str, int]
    diagram: Diagram | None
    reason: str = ""
    memory: MemoryCost | None = None

    @property
    def size(self) -> Formula:
        """The number of all parameters."""
        return total(self.parameters)

    @property
    def products(self) -> Formula:
        """The multiply-adds of the matrix products of one step of one row: a matrix counts once."""
        return total(self.parameters, dimensions=2)

    def cost(self, input_size: int, hidden_size: int) -> int:
        """Operations of one step of one row: two for a multiply-add, one for all others."""
        elementwise = sum(self.operations.values()) * hidden_size
        memory = self.memory.operations(input_size, hidden_size) if self.memory else 0
        return 2 * self.products(input_size, hidden_size) + elementwise + memory

    def as_dict(self) -> dict[str, Any]:
        """The card as JSON has it."""
        return {
            "name": self.name,
            "options": self.options,
            "gates": list(self.gates),
            "state": self.state,
            "parameters": {
                p.name: {"shape": [str(n) for n in p.shape], "count": str(p.numbers)}
                for p in self.parameters
            },
            "size": str(self.size),
            "multiply_adds": str(self.products),
            "memory_multiply_adds": str(self.memory.multiply_adds) if self.memory else "0",
            "elementwise": self.operations,
            "numbers": {
                str(n): {"parameters": self.size(n, n), "operations": self.cost(n, n)}
                for n in WIDTHS
            },
            "equations": [f"{left} = {right}" for left, right in self.equations],
            "latex": self.latex,
            "mermaid": as_mermaid(self.diagram) if self.diagram else "",
            "reason": self.reason,
        }

    def as_text(self) -> str:
        """The card as the terminal shows it."""
        blocks = [self._heading(), self._sizes(), self._cost()]
        if self.diagram is None:
            blocks.append(f"equations: not traced from the code: {self.reason}")
        else:
            shown = "\n".join(f"  {left} = {right}" for left, right in self.equations)
            blocks.append(f"equations (* between vectors is elementwise)\n{shown}")
            blocks.append(f"latex\n{_indented(self.latex)}")
            blocks.append(f"diagram\n{_indented(as_text(self.diagram))}")
        return "\n\n".join(blocks) + "\n"

    def _heading(self) -> str:
        state = ", ".join(f"{field} [B, {size}]" for field, size in self.state.items())
        gates = ", ".join(self.gates) or "none"
        given = ", ".join(f"{key}={value}" for key, value in self.options.items())
        options = f"\noptions  {given}" if given else ""
        return f"gates    {gates}\nstate    {state}{options}"

    def _sizes(self) -> str:
        rows = [
            (p.name, f"[{', '.join(str(n) for n in p.shape)}]", str(p.numbers))
            for p in self.parameters
        ]
        rows.append(("all", "", str(self.size)))
        return "parameters (D inputs, H units)\n" + _columns(rows)

    def _cost(self) -> str:
        names = ", ".join(f"{count} {name}" for name, count in self.operations.items())
        rows = [("D = H", "parameters", "operations a step")]
        rows += [(str(n), f"{self.size(n, n):,}", f"{self.cost(n, n):,}") for n in WIDTHS]
        counted = f"  multiply-adds in the memory: {self.memory}\n" if self.memory else ""
        counted += f"  elementwise, a unit: {names}\n" if names else ""
        return (
            "cost of one step of one sequence\n"
            f"  multiply-adds in matrix products: {self.products}\n{counted}{_columns(rows)}"
        )


def cell_card(name: str, options: Mapping[str, Any] | None = None) -> CellCard:
    """The card of a registered cell.

    Args:
        name: its registered name.
        options: the cell's options, as a config gives them.

    Raises:
        UnknownNameError: there is no such cell.
        OptionError: an option is wrong, or the sizes do not grow as formulas in D and H.

    Example:
        >>> card = cell_card("lstm", {"coupled": True})
        >>> str(card.size), card.gates
        ('3H² + 3HD + 3H', ('input', 'candidate', 'output'))
    """
    given = dict(options or {})

    def make(input_size: int, hidden_size: int) -> Cell:
        spec = {"name": name, "hidden_size": hidden_size, **given}
        made: Cell = construct("cell", spec, input_size, where="cell")
        return made

    registry.get("cell", name)
    parameters = parameter_formulas(make)
    cell = make(*probes_of(make)[0])
    gates = tuple(getattr(cell, "gates", ()))
    sizes = dict(zip(state_fields(cell.State), _state_formulas(make), strict=True))
    state = {field: ", ".join(map(str, size)) for field, size in sizes.items()}
    memory = memory_cost(make, probes_of(make)[0], sizes.get("memory", ()))
    try:
        equations = equations_of(cell)
    except UntraceableError as error:
        return CellCard(name, given, gates, state, parameters, [], "", {}, None, str(error), memory)
    return CellCard(
        name,
        given,
        gates,
        state,
        parameters,
        plain_equations(equations),
        latex_equations(equations),
        equations.counts(),
        diagram_of(equations),
        memory=memory,
    )


def _state_formulas(make: Any) -> list[list[Formula]]:
    """The dimensions of each field of the state after B, such as ``H`` or ``4, H/4, H/4 + 1``."""
    probes = probes_of(make)
    starts = [make(*sizes).initial_state(1) for sizes in probes]
    found = []
    for parts in zip(*starts, strict=True):
        dimensions = zip(*(part.shape[1:] for part in parts), strict=True)
        found.append([fit("state", values, probes) for values in dimensions])
    return found


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        ("  " + "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True))).rstrip()
        for row in rows
    )


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
