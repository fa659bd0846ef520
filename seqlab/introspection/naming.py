"""Names for the values of a recorded step, so that it reads as a paper writes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from seqlab.cells.base import Cell
from seqlab.expressions import Graph, Node, Symbol, ordered
from seqlab.introspection.equations import Equation, Equations, is_affine
from seqlab.introspection.recorded_step import RecordedStep, record_step

#: Letters that the field uses; other names take their first free letter.
LETTERS = {"hidden": "h", "cell": "c", "input": "i", "forget": "f", "output": "o",
           "candidate": "g", "reset": "r", "update": "z", "gap": "delta"}  # fmt: skip
GREEK = frozenset({"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa",
                   "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi", "psi",
                   "omega"})  # fmt: skip
#: Operators that keep an equation linear in its parts: a gate is seen through them.
_ARITHMETIC = frozenset({"add", "sub", "mul", "div", "neg"})
_TAKEN = frozenset("xyWUbtBDHT")
_FREE = "uvwqpms"


def equations_of(cell: Cell) -> Equations:
    """The equations of a cell, traced from its code.

    Each gate's activated value, each field of the state and the output have a name; so has any
    other value that is used twice, and any that the author's code gives a name of one letter.

    Raises:
        UntraceableError: the code cannot be recorded.

    Example:
        >>> from seqlab.cells.rnn import RNNCell
        >>> [equation.name for equation in equations_of(RNNCell(2, 3)).equations]
        ['h_t']
    """
    step = record_step(cell, Graph())
    naming = _Naming(step, tuple(getattr(cell, "gates", ())))
    return Equations(
        tuple(naming.equations()),
        naming.names,
        naming.letters,
        step.vectors,
        bool(getattr(cell, "use_bias", getattr(cell, "bias", None) is not None)),
        getattr(cell, "recurrent_bias", None) is not None,
        naming.letters[Symbol("state", next(iter(step.state)))],
    )


class _Naming:
    """Chooses letters for symbols, then names for nodes."""

    def __init__(self, step: RecordedStep, gates: tuple[str, ...]) -> None:
        self.step, self.gates = step, gates
        self.nodes = ordered([*step.vectors.values(), *step.state.values(), step.output])
        self.variables = self._variables()
        self.owners = self._owners()
        self.letters = self._letters()
        self.names = self._names()

    def equations(self) -> list[Equation]:
        """One equation a name, gates in their order, and arguments before what uses them."""
        step, by_name = self.step, {name: node for node, name in self.names.items()}
        gates = [by_name[name] for g in self.gates if (name := self._of_gate(g)) in by_name]
        nodes = ordered([*gates, *step.vectors.values(), *step.state.values(), step.output])
        found = [Equation(self.names[node], node) for node in nodes if node in self.names]
        if step.output not in self.names or step.output.op == "symbol":
            found.append(Equation("y_t", step.output))
        made = {equation.name for equation in found}
        for field, node in step.state.items():
            symbol = Symbol("state", field)
            name = f"{self.letters[symbol]}_t"
            if name not in made and node.value != symbol:
                found.append(Equation(name, node))
        return found

    def _of_gate(self, gate: str) -> str:
        return f"{self.letters[Symbol('input', gate)]}_t"

    def _variables(self) -> dict[Node, str]:
        """The author's own letters, but those of the state and those with a fixed meaning."""
        fixed = {LETTERS.get(field, "") for field in self.step.state} | _TAKEN
        states = set(self.step.state.values())
        return {
            node: name
            for name, node in self.step.variables.items()
            if name not in fixed
            and node not in states
            and (node.op not in {"number", "symbol"} or is_affine(node))
        }

    def _owners(self) -> dict[str, Node]:
        """For each gate the first function that it goes into: the gate's activated value."""
        states = set(self.step.state.values())
        stops = frozenset([*states, *self.variables])
        found: dict[str, Node] = {}
        for node in self.nodes:
            if node.op == "call" and node not in states:
                gate = next(_gates_in(node.args, stops - {node}), None)
                if gate is not None:
                    found.setdefault(gate, node)
        return found

    def _letters(self) -> dict[Symbol, str]:
        """The symbols of state fields, gates and parameters; a lone gate has none."""
        found: dict[Symbol, str] = {}
        taken = {*_TAKEN, *self.variables.values()}

        def choose(kind: str, name: str) -> None:
            options = [
                LETTERS.get(name, ""),
                *(c for c in name.lower() if c.isalpha() and c != "h"),
            ]
            letter = next((o for o in options if o and o not in taken), name)
            taken.add(letter)
            found[Symbol(kind, name)] = letter

        for field in self.step.state:
            choose("state", field)
        for gate in self.gates:
            own = self.variables.get(self.owners[gate]) if gate in self.owners else None
            if len(self.gates) == 1:
                found[Symbol("input", gate)] = ""
            elif own is not None:
                found[Symbol("input", gate)] = own
            else:
                choose("input", gate)
        for node in self.nodes:
            if node.op != "symbol":
                continue
            if node.value.kind == "parameter":
                found[node.value] = self._parameter(node.value.name, found)
            elif node.value.kind == "raw":
                choose("raw", node.value.name)
        return found

    def _parameter(self, name: str, letters: dict[Symbol, str]) -> str:
        """``peephole_input`` as ``p_i``, ``nu`` as ``nu``, ``weight_skip`` as ``W_skip``."""
        head, _, tail = name.rpartition("_")
        if head and tail in self.gates:
            return f"{head[0]}_{letters[Symbol('input', tail)]}"
        if head == "weight":
            return f"W_{tail}"
        return name if name in GREEK or len(name) == 1 else name.replace("_", "-")

    def _names(self) -> dict[Node, str]:
        """The nodes that get a name of their own."""
        names: dict[Node, str] = {}
        for field, node in self.step.state.items():
            if node.op not in {"symbol", "number"}:
                names.setdefault(node, f"{self.letters[Symbol('state', field)]}_t")
        for node, name in self.variables.items():
            names.setdefault(node, f"{name}_t")
        wanted = list(self.gates) if len(self.gates) > 1 else []
        for gate, node in self.owners.items():
            if gate in wanted:
                names.setdefault(node, self._of_gate(gate))
                wanted.remove(gate)
        self._name_shared(names, wanted)
        output = self.step.output
        if output.op not in {"symbol", "number"}:
            names.setdefault(output, "y_t")
        return names

    def _name_shared(self, names: dict[Node, str], wanted: list[str]) -> None:
        """Name the values that are used more than once."""
        uses = Counter(argument for node in self.nodes for argument in node.args)
        taken = {name[:1] for name in (*names.values(), *self.letters.values())}
        free = iter(letter for letter in _FREE if letter not in taken)
        for node in self.nodes:
            plain = node.op in {"symbol", "number"} or all(a.op == "number" for a in node.args)
            one_less = node.op == "sub" and node.args[0].op == "number"
            if uses[node] < 2 or node in names or plain or one_less:
                continue
            seen = set(_gates_in([node]))
            gate = next((g for g in wanted if g in seen), None)
            if gate is not None:
                names[node] = self._of_gate(gate)
                wanted.remove(gate)
            elif letter := next(free, None):
                names[node] = f"{letter}_t"


def _gates_in(nodes: Iterable[Node], stops: frozenset[Node] = frozenset()) -> Iterator[str]:
    """The gates that nodes are linear in, in order of appearance."""
    for node in nodes:
        if is_affine(node):
            yield node.value.name
        elif node.op in _ARITHMETIC and node not in stops:
            yield from _gates_in(node.args, stops)
