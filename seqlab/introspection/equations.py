"""Names for the values of a traced step, so that it reads as a paper writes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from seqlab.cells.base import Cell
from seqlab.expressions import Graph, Node, Symbol, ordered
from seqlab.introspection.recorded_step import RecordedStep, record_step

#: Letters that the field uses; other names take their first free letter.
LETTERS = {"hidden": "h", "cell": "c", "input": "i", "forget": "f", "output": "o",
           "candidate": "g", "reset": "r", "update": "z"}  # fmt: skip
_GREEK = frozenset({"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa",
                    "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi", "psi",
                    "omega"})  # fmt: skip
_TAKEN = frozenset("xyWUbtBDHT")
_FREE = "uvwqpms"


#: Operators that keep an equation linear in its parts: a gate is seen through them.
ARITHMETIC = frozenset({"add", "sub", "mul", "div", "neg"})


class Equation(NamedTuple):
    """``name = node``; ``name`` is a symbol's letter with its time, such as ``h_t``."""

    name: str
    node: Node


class Equations(NamedTuple):
    """All equations of one step, in an order in which they can be computed.

    ``names`` maps nodes to the names that stand for them in other equations; ``letters`` maps
    gates, state fields and parameters to their symbols. ``second`` is what the second recurrent
    product multiplies, and ``second_gates`` the gates it makes.
    """

    equations: tuple[Equation, ...]
    names: dict[Node, str]
    letters: dict[Symbol, str]
    second: Node | None
    second_gates: tuple[str, ...]
    has_bias: bool
    has_recurrent_bias: bool
    hidden: str

    def counts(self) -> dict[str, int]:
        """How often each elementwise operator is evaluated for one unit in one step."""
        roots = [equation.node for equation in self.equations]
        found: dict[str, int] = {}
        for node in ordered(roots if self.second is None else [*roots, self.second]):
            if node.op not in {"symbol", "number", "product"}:
                name = str(node.value) if node.op == "call" else node.op
                found[name] = found.get(name, 0) + 1
        return dict(sorted(found.items()))


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
    graph = Graph()
    step = record_step(cell, graph)
    gates = tuple(getattr(cell, "gates", ()))
    variables = _variables(step)
    owners = _owners(step, gates, variables)
    letters = _letters(gates, step, owners, variables)
    names = _names(step, gates, letters, owners, variables)
    equations = _ordered(step, names, gates, letters)
    fields = list(step.state)
    if names.get(step.output) is None or step.output.op == "symbol":
        equations.append(Equation("y_t", step.output))
    made = {equation.name for equation in equations}
    for field, node in step.state.items():
        name = f"{letters[Symbol('state', field)]}_t"
        if name not in made and not _is_old(node, field):
            equations.append(Equation(name, node))
    return Equations(
        tuple(equations),
        names,
        letters,
        step.second,
        tuple(getattr(cell, "second_gates", ())),
        bool(getattr(cell, "use_bias", getattr(cell, "bias", None) is not None)),
        getattr(cell, "recurrent_bias", None) is not None,
        letters[Symbol("state", fields[0])],
    )


def _letters(
    gates: Sequence[str], step: RecordedStep, owners: dict[str, Node], variables: dict[Node, str]
) -> dict[Symbol, str]:
    """The symbols of state fields, gates and parameters; a lone gate has none."""
    found: dict[Symbol, str] = {}
    taken = {*_TAKEN, *variables.values()}

    def choose(kind: str, name: str) -> None:
        options = [LETTERS.get(name, ""), *(c for c in name.lower() if c.isalpha() and c != "h")]
        letter = next((o for o in options if o and o not in taken), name)
        taken.add(letter)
        found[Symbol(kind, name)] = letter

    for field in step.state:
        choose("state", field)
    for gate in gates:
        own = variables.get(owners[gate]) if gate in owners else None
        if len(gates) == 1:
            found[Symbol("input", gate)] = ""
        elif own is not None:
            found[Symbol("input", gate)] = own
        else:
            choose("input", gate)
    for root in _roots(step):
        for node in ordered([root]):
            if node.op == "symbol" and node.value.kind == "parameter":
                found[node.value] = _parameter(node.value.name, gates, found)
    return found


def _variables(step: RecordedStep) -> dict[Node, str]:
    """The author's own letters, but those of the state and those with a fixed meaning."""
    fixed = {LETTERS.get(field, "") for field in step.state} | _TAKEN
    states = set(step.state.values())
    return {
        node: name
        for name, node in step.variables.items()
        if name not in fixed and node not in states and not _is_plain(node)
    }


def _is_plain(node: Node) -> bool:
    """Whether a node is a number, a parameter or a part of the state."""
    return node.op == "number" or (
        node.op == "symbol" and node.value.kind not in {"input", "recurrent"}
    )


def _owners(
    step: RecordedStep, gates: Sequence[str], variables: dict[Node, str]
) -> dict[str, Node]:
    """For each gate the first function that it goes into: the gate's activated value."""
    stops = frozenset([*step.state.values(), *variables])
    wanted, found = list(gates), {}
    for node in _all_nodes(step):
        seen = _gates_seen(node.args, stops - {node}) if node.op == "call" else []
        if seen and seen[0] in wanted and node not in step.state.values():
            found[seen[0]] = node
            wanted.remove(seen[0])
    return found


def _parameter(name: str, gates: Iterable[str], letters: dict[Symbol, str]) -> str:
    """``peephole_input`` as ``p_i``, ``nu`` as ``nu``, ``weight_skip`` as ``W_skip``."""
    head, _, tail = name.rpartition("_")
    if head and tail in gates:
        return f"{head[0]}_{letters[Symbol('input', tail)]}"
    if name.startswith("weight_"):
        return f"W_{name.removeprefix('weight_')}"
    return name if name in _GREEK or len(name) == 1 else name.replace("_", "-")


def _roots(step: RecordedStep) -> list[Node]:
    second = [] if step.second is None else [step.second]
    return [*second, *step.state.values(), step.output]


def _names(
    step: RecordedStep,
    gates: Sequence[str],
    letters: dict[Symbol, str],
    owners: dict[str, Node],
    variables: dict[Node, str],
) -> dict[Node, str]:
    """The nodes that get a name of their own."""
    names: dict[Node, str] = {}
    for field, node in step.state.items():
        if node.op not in {"symbol", "number"}:
            names.setdefault(node, f"{letters[Symbol('state', field)]}_t")
    for node, name in variables.items():
        names.setdefault(node, f"{name}_t")
    wanted = list(gates) if len(gates) > 1 else []
    for gate, node in owners.items():
        if gate in wanted:
            names.setdefault(node, f"{letters[Symbol('input', gate)]}_t")
            wanted.remove(gate)
    _name_shared(_all_nodes(step), names, wanted, letters)
    if step.output not in names and step.output.op not in {"symbol", "number"}:
        names[step.output] = "y_t"
    return names


def _all_nodes(step: RecordedStep) -> list[Node]:
    return ordered(_roots(step))


def _gates_seen(nodes: Iterable[Node], stops: frozenset[Node] = frozenset()) -> list[str]:
    """The gates that nodes are linear in, in order of appearance."""
    found: dict[str, None] = {}

    def visit(part: Node) -> None:
        if part.op == "symbol" and part.value.kind in {"input", "recurrent"}:
            found[part.value.name] = None
        elif part.op in ARITHMETIC and part not in stops:
            for argument in part.args:
                visit(argument)

    for node in nodes:
        visit(node)
    return list(found)


def _name_shared(
    nodes: Sequence[Node], names: dict[Node, str], wanted: list[str], letters: dict[Symbol, str]
) -> None:
    """Name the values that are used more than once."""
    uses: dict[Node, int] = {}
    for node in nodes:
        for argument in node.args:
            uses[argument] = uses.get(argument, 0) + 1
    taken = {name[:1] for name in (*names.values(), *letters.values())}
    free = iter(letter for letter in _FREE if letter not in taken)
    for node in nodes:
        plain = node.op in {"symbol", "number"} or all(a.op == "number" for a in node.args)
        one_less = node.op == "sub" and node.args[0].op == "number"
        if uses.get(node, 0) > 1 and node not in names and not plain and not one_less:
            gate = next((g for g in wanted if g in _gates_seen([node])), None)
            if gate is not None:
                names[node] = f"{letters[Symbol('input', gate)]}_t"
                wanted.remove(gate)
            else:
                letter = next(free, None)
                if letter is not None:
                    names[node] = f"{letter}_t"


def _ordered(
    step: RecordedStep, names: dict[Node, str], gates: Sequence[str], letters: dict[Symbol, str]
) -> list[Equation]:
    """One equation a name, gates in their order, and arguments before what uses them."""
    by_name = {name: node for node, name in names.items()}
    order = [f"{letters[Symbol('input', gate)]}_t" for gate in gates]
    found: dict[Node, str] = {}
    roots = [by_name[name] for name in order if name in by_name]
    if step.second is not None:
        roots.append(step.second)
    for root in [*roots, *step.state.values(), step.output]:
        for node in ordered([root]):
            if node in names:
                found.setdefault(node, names[node])
    return [Equation(name, node) for node, name in found.items()]


def _is_old(node: Node, field: str) -> bool:
    return node.op == "symbol" and node.value == Symbol("state", field)
