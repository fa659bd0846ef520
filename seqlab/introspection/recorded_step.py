"""From the code of a cell to its equations: torch.fx records ``update``, nothing is written twice.

Gated cells are traced through ``update`` and what their products multiply, linear recurrent cells
through ``coefficients`` and ``readout``. What stands around the equations (dropout, layer norm,
zoneout, projection) is the base class's and not part of them.
"""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, NamedTuple

from torch import Tensor, fx, nn

from seqlab.cells.base import Cell, state_fields
from seqlab.cells.declaration import gate_tuple
from seqlab.cells.gated import GatedCell
from seqlab.cells.linear import GatedLinearCell, LinearRecurrentCell
from seqlab.expressions import Graph, Node


class UntraceableError(Exception):
    """The code holds something that cannot be recorded; the message says what."""


class RecordedStep(NamedTuple):
    """What one step computes, as nodes: the output, the next state by field, and helpers.

    ``vectors`` is what a recurrent gate's product multiplies, where that is not the first field of
    the state before the step. ``coefficients`` are a and b of a linear recurrence, else None;
    ``variables`` are the values that the author's code gave a name of one letter.
    """

    output: Node
    state: dict[str, Node]
    vectors: Mapping[str, Node] = {}
    coefficients: tuple[Node, Node] | None = None
    variables: Mapping[str, Node] = {}


class _Function:
    """A function of which only the name matters."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, *args: Any) -> Any:
        raise UntraceableError(f"{self.__name__} was called with {args!r} outside a trace")


class _Tracer(fx.proxy.GraphAppendingTracer):
    """Records calls on proxies; single numbers in tensors become numbers."""

    def create_arg(self, a: Any) -> Any:
        """An argument as the graph keeps it."""
        if isinstance(a, Tensor):
            if a.numel() != 1:
                raise UntraceableError(f"a constant tensor of shape {tuple(a.shape)}")
            return float(a)
        return super().create_arg(a)


def record_step(cell: Cell, graph: Graph) -> RecordedStep:
    """The equations of a cell.

    Args:
        cell: a gated or a linear recurrent cell.
        graph: makes the nodes.

    Raises:
        UntraceableError: its code cannot be recorded, or it is a cell of another form.

    Example:
        >>> from seqlab.cells.rnn import RNNCell
        >>> record_step(RNNCell(2, 3), Graph()).output.value
        'tanh'
    """
    try:
        if isinstance(cell, GatedCell):
            return _trace_gated(cell, graph)
        if isinstance(cell, LinearRecurrentCell):
            return _trace_linear(cell, graph)
    except UntraceableError:
        raise
    except Exception as error:  # whatever Python an author wrote may refuse to be recorded
        reason = str(error).splitlines()[0] if str(error) else ""
        raise UntraceableError(f"{type(error).__name__}: {reason}") from error
    raise UntraceableError("it is neither a gated nor a linear recurrent cell")


class _Recording:
    """One graph with its inputs, and a copy of the cell whose parameters are inputs too."""

    def __init__(self, cell: Cell, graph: Graph) -> None:
        self.graph, self.recorded = graph, fx.Graph()
        self.tracer = _Tracer(self.recorded)
        self.values: dict[fx.Node, Any] = {}
        self.cell = self._stripped(cell)

    def symbol(self, kind: str, name: str) -> fx.Proxy:
        """An input of the graph that stands for a symbol."""
        node = self.recorded.placeholder(f"{kind}_{name}")
        self.values[node] = self.graph.symbol(kind, name)
        return fx.Proxy(node, self.tracer)

    def _stripped(self, cell: Cell) -> Any:
        twin: Any = copy.copy(cell)
        vars(twin)["_parameters"] = {}
        vars(twin)["_buffers"] = {}
        for name, value in (*cell.named_parameters(recurse=False), *cell.named_buffers()):
            if value.numel() == 1 and name not in getattr(cell, "scalars", ()):
                vars(twin)[name] = value
            else:
                vars(twin)[name] = self.symbol("parameter", name)
        modifier = getattr(cell, "modifier", None)
        if modifier is not None:
            vars(twin)["modifier"] = self._modifier(modifier)
        for name, value in vars(cell)["_parameters"].items():
            if value is None:
                vars(twin)[name] = None
        for name in ("activation", "recurrent_activation"):
            spec = getattr(cell, f"{name}_spec", None)
            if spec is not None:
                vars(twin)[name] = self._named(spec if isinstance(spec, str) else spec["name"])
        return twin

    def _modifier(self, modifier: nn.Module) -> nn.Module:
        """A copy of a cell's modifier whose parameters are inputs too."""
        twin = copy.copy(modifier)
        vars(twin)["_parameters"] = {}
        for name, _ in modifier.named_parameters():
            vars(twin)[name] = self.symbol("parameter", name)
        return twin

    def _named(self, name: str) -> Callable[[Any], Any]:
        if name == "linear":
            return lambda value: value
        function = _Function(name)
        return lambda value: self.tracer.create_proxy("call_function", function, (value,), {})

    def node_of(self, value: Any) -> Node:
        """The node of what the code returned."""
        translated = self._argument(value.node if isinstance(value, fx.Proxy) else value)
        if not isinstance(translated, Node):
            raise UntraceableError(f"it returned {type(translated).__name__}, not a tensor")
        return translated

    def _argument(self, value: Any) -> Any:
        if isinstance(value, fx.Node):
            if value not in self.values:
                self.values[value] = self._translate(value)
            return self.values[value]
        if isinstance(value, Tensor) and value.numel() == 1:
            value = float(value)
        if isinstance(value, bool | int | float):
            return self.graph.number(value)
        return value

    def _translate(self, node: fx.Node) -> Any:
        target: Any = node.target
        name = target if isinstance(target, str) else target.__name__
        if target is getattr:
            raise UntraceableError(f"the equations ask for .{node.args[1]} of a tensor")
        arguments = [self._argument(argument) for argument in node.args]
        kept = {key: value for key, value in node.kwargs.items() if key != "inplace"}
        options = {key: self._argument(value) for key, value in kept.items()}
        if name == "linear":
            return _product(self.graph, arguments, options)
        handler = _HANDLERS.get(name)
        if handler is not None:
            return handler(self.graph, *arguments, **options)
        nodes = [a for a in (*arguments, *options.values()) if isinstance(a, Node)]
        if name == "sigmoid" and nodes[0].op == "neg":
            opposite = self.graph.make("call", nodes[0].args[0], value=name)
            return self.graph.make("sub", self.graph.number(1), opposite)
        return self.graph.make("call", *nodes, value=name)


def _trace_gated(cell: GatedCell, graph: Graph) -> RecordedStep:
    record = _Recording(cell, graph)
    fields = state_fields(cell.State)
    state = cell.State(*(record.symbol("state", field) for field in fields))
    inputs = [record.symbol("input", gate) for gate in cell.input_gates]
    raw = [
        record.symbol("x", "x") if width == "all" else record.symbol("raw", name)
        for name, width in cell.raw.items()
    ]
    x = cell.input_type(*inputs, *raw)
    h: list[fx.Proxy] = []
    vectors: dict[str, Node] = {}
    for number, product in enumerate(cell.chain):
        known = gate_tuple(cell.recurrent_gates[: len(h)])(*h)
        if number:
            node = record.node_of(product.vector(record.cell, x, known, state))
            vectors.update(dict.fromkeys(product.gates, node))
        h += [record.symbol("recurrent", gate) for gate in product.gates]
    named: dict[str, fx.Proxy] = {}
    with _variables_of(type(cell).update, named):
        given = record.cell.modified(x, cell.recurrent_type(*h), state)
        output, new = record.cell.update(*given, state)
    nodes = {field: record.node_of(value) for field, value in zip(fields, new, strict=True)}
    variables = {name: record.node_of(value) for name, value in named.items()}
    return RecordedStep(record.node_of(output), nodes, vectors, variables=variables)


@contextlib.contextmanager
def _variables_of(function: Any, found: dict[str, fx.Proxy]) -> Iterator[None]:
    """Collect the one-letter variables that a function has when it returns."""
    code, before = getattr(function, "__code__", None), sys.getprofile()

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is code:
            proxies = ((n, v) for n, v in frame.f_locals.items() if isinstance(v, fx.Proxy))
            found.update((name, value) for name, value in proxies if len(name) == 1)

    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(before)


def _trace_linear(cell: LinearRecurrentCell, graph: Graph) -> RecordedStep:
    if cell.complex_state:
        raise UntraceableError(
            "h_t = a_t * h_{t-1} + b_t has complex numbers, kept as pairs of real ones; "
            "the documentation of the class says what a and b are"
        )
    record = _Recording(cell, graph)
    twin = record.cell
    x = record.symbol("x", "x")
    if isinstance(cell, GatedLinearCell):
        inputs = {gate: record.symbol("input", gate) for gate in cell.gates}
        vars(twin)["gate"] = lambda _, first, last=None: _between(inputs, first, last)
    field = state_fields(cell.State)[0]
    state = record.symbol("state", field)
    pair = tuple(record.node_of(value) for value in twin.coefficients(x))
    a, b = pair
    hidden = graph.make("add", graph.make("mul", a, record.node_of(state)), b)
    node = record.recorded.placeholder("hidden")
    record.values[node] = hidden
    output = record.node_of(twin.readout(x, fx.Proxy(node, record.tracer)))
    return RecordedStep(output, {field: hidden}, coefficients=(a, b))


def _between(values: dict[str, Any], first: str, last: str | None) -> tuple[Any, ...]:
    names = list(values)
    stop = names.index(first if last is None else last) + 1
    return tuple(values[name] for name in names[names.index(first) : stop])


def _product(graph: Graph, arguments: Sequence[Any], options: dict[str, Any]) -> Node:
    """``F.linear``: a matrix times a vector, maybe with a bias."""
    value, weight, *bias = [*arguments, *([options["bias"]] if "bias" in options else [])]
    if weight.op != "symbol":
        raise UntraceableError("a matrix that is computed, not a parameter of its own")
    made = graph.make("product", weight, value)
    return graph.make("add", made, bias[0]) if bias and bias[0] is not None else made


Handler = Callable[..., Any]


def _binary(op: str) -> Handler:
    return lambda graph, a, b: graph.make(op, a, b)


def _scaled(op: str) -> Handler:
    """``torch.add`` and ``torch.sub``, which take a factor ``alpha``."""

    def handle(graph: Graph, a: Node, b: Node, alpha: Node | None = None) -> Node:
        return graph.make(op, a, b if alpha is None else graph.make("mul", alpha, b))

    return handle


def _lerp(graph: Graph, start: Node, end: Node, weight: Node) -> Node:
    return graph.make("add", start, graph.make("mul", weight, graph.make("sub", end, start)))


def _addcmul(graph: Graph, start: Node, a: Node, b: Node, value: Node | None = None) -> Node:
    product = graph.make("mul", a, b)
    return graph.make("add", start, product if value is None else graph.make("mul", value, product))


def _where(graph: Graph, condition: Node, yes: Node, no: Node) -> Node:
    return graph.make("where", condition, yes, no)


def _limit(name: str) -> Handler:
    """``clamp_min`` and ``clamp_max`` by the names that papers use."""
    return lambda graph, a, b: graph.make("call", a, b, value=name)


def _same(graph: Graph, value: Node, *rest: Any, **options: Any) -> Node:
    del graph, rest, options
    return value


_HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("add", "__add__"), _scaled("add")),
    **dict.fromkeys(("sub", "subtract"), _scaled("sub")),
    **dict.fromkeys(("mul", "multiply"), _binary("mul")),
    **dict.fromkeys(("truediv", "div", "divide"), _binary("div")),
    "rsub": lambda graph, a, b: graph.make("sub", b, a),
    **dict.fromkeys(("neg", "negative"), lambda graph, a: graph.make("neg", a)),
    **dict.fromkeys(("pow", "square"), lambda graph, a, b=None: graph.make(
        "pow", a, b or graph.number(2))),
    **{name: _binary(name) for name in ("lt", "le", "gt", "ge", "eq", "ne")},
    "lerp": _lerp,
    "addcmul": _addcmul,
    "where": _where,
    "clamp_min": _limit("maximum"),
    "clamp_max": _limit("minimum"),
    **dict.fromkeys(("clone", "contiguous", "to", "expand_as", "detach", "type_as"), _same),
}  # fmt: skip
