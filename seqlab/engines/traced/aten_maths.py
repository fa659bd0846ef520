"""From a traced graph of ATen calls to elementwise expressions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from torch import Tensor, fx

from seqlab.engines.traced.folding import LOGICAL
from seqlab.engines.traced.recording import Recorded
from seqlab.expressions import Graph, Node


class NotElementwiseError(Exception):
    """The equations hold something that is not elementwise maths; the message says what."""


class Translation:
    """An fx graph of ATen calls as expressions."""

    def __init__(self, recorded: Recorded, width: int, graph: Graph) -> None:
        self.recorded, self.width, self.graph = recorded, width, graph
        self.values: dict[fx.Node, Any] = {}

    def run(self, variables: list[Node]) -> list[Node | None]:
        """The outputs' expressions."""
        given = iter(variables)
        for node in self.recorded.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = next(given)
            elif node.op == "get_attr":
                self.values[node] = self._constant(self.recorded.constants[str(node.target)])
            elif node.op == "call_function":
                self.values[node] = self._call(node)
            elif node.op == "output":
                return [None if a is None else self.values[a] for a in node.args[0]]
        raise NotElementwiseError("no output")

    def _constant(self, tensor: Tensor) -> Node:
        if tensor.numel() != 1:
            raise NotElementwiseError("a constant tensor; register it as a buffer of the cell")
        return self._number(tensor.item())

    def _number(self, value: Any) -> Node:
        return self.graph.number(value)

    def _argument(self, argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            return self.values[argument]
        if isinstance(argument, bool | int | float):
            return self._number(argument)
        return argument

    def _call(self, node: fx.Node) -> Any:
        name = _name(node)
        if node.target is operator.getitem:
            raise NotElementwiseError("an operation with several results")
        shape = node.meta.get("shape", ())
        if shape not in {(), (1,), (self.width,), (2, self.width), (1, self.width), (1, 1),
                         (2, 1)}:  # fmt: skip
            raise NotElementwiseError(f"aten.{name} gives a shape {shape}")
        if name.endswith("_") and name not in _CALLS:
            return self._in_place(node, name.removesuffix("_"))
        if name in _SAME:
            return self._argument(node.args[0])
        if name in _FILLED:
            return self._number(_FILLED[name] if name in _FILLED_FIXED else node.args[1])
        if name == "scalar_tensor":
            return self._number(node.args[0])
        return self._apply(name, node)

    def _in_place(self, node: fx.Node, name: str) -> Node:
        """The same out of place; only of a fresh value that nothing else looks at by a view."""
        changed = node.args[0]
        fresh = isinstance(changed, fx.Node) and changed.op == "call_function"
        others = [*changed.users, changed] if isinstance(changed, fx.Node) else []
        if not fresh or any(_name(other) in _SAME for other in others):
            raise NotElementwiseError(f"aten.{name}_ changes a value in place")
        result = self._apply(name, node)
        self.values[changed] = result  # type: ignore[index]  # checked above
        return result

    def _apply(self, name: str, node: fx.Node) -> Node:
        handler = _CALLS.get(name)
        if handler is None:
            raise NotElementwiseError(f"aten.{name} is not in this engine's elementwise maths")
        arguments = [self._argument(a) for a in node.args]
        keywords = {k: self._argument(v) for k, v in node.kwargs.items() if k == "alpha"}
        result: Node = handler(self.graph, *arguments, **keywords)
        return result


def _name(node: fx.Node) -> str:
    target: Any = node.target
    return str(getattr(target, "overloadpacket", target)).removeprefix("aten.")


_SAME = frozenset({"alias", "detach", "clone", "_to_copy", "expand", "view", "contiguous",
                   "lift_fresh_copy", "lift_fresh", "_unsafe_view", "reshape"})  # fmt: skip
_FILLED_FIXED = frozenset({"zeros_like", "ones_like", "new_zeros", "new_ones", "zeros", "ones"})
_FILLED = {"zeros_like": 0.0, "ones_like": 1.0, "new_zeros": 0.0, "new_ones": 1.0, "zeros": 0.0,
           "ones": 1.0, "full_like": None, "full": None, "new_full": None}  # fmt: skip


def _as_real(graph: Graph, node: Node) -> Node:
    return graph.make("real", node) if node.op in LOGICAL else node


def _plain(op: str) -> Callable[..., Node]:
    def handle(graph: Graph, *args: Node) -> Node:
        reals = args if op in {"and", "or", "not"} else [_as_real(graph, a) for a in args]
        return graph.make(op, *reals)

    return handle


def _scaled(op: str) -> Callable[..., Node]:
    """``add`` and ``sub``, which take a factor ``alpha``."""

    def handle(graph: Graph, a: Node, b: Node, alpha: Node | None = None) -> Node:
        a, b = _as_real(graph, a), _as_real(graph, b)
        return graph.make(op, a, b if alpha is None else graph.make("mul", b, alpha))

    return handle


def _rsub(graph: Graph, a: Node, b: Node, alpha: Node | None = None) -> Node:
    return _scaled("sub")(graph, b, a, alpha)


def _pow(graph: Graph, base: Node, exponent: Node) -> Node:
    power = exponent.number
    if power == 0.5:
        return graph.make("sqrt", base)
    if power is not None and power in {1.0, 2.0, 3.0}:
        result = base
        for _ in range(int(power) - 1):
            result = graph.make("mul", result, base)
        return result
    return graph.make("pow", base, exponent)


def _clamp(graph: Graph, x: Node, low: Node | None = None, high: Node | None = None) -> Node:
    x = x if low is None else graph.make("max", x, low)
    return x if high is None else graph.make("min", x, high)


def _where(graph: Graph, condition: Node, yes: Node, no: Node) -> Node:
    return graph.make("where", condition, _as_real(graph, yes), _as_real(graph, no))


def _relu(graph: Graph, x: Node) -> Node:
    return graph.make("max", x, graph.number(0.0))


def _reciprocal(graph: Graph, x: Node) -> Node:
    return graph.make("div", graph.number(1.0), x)


def _sigmoid_backward(graph: Graph, d: Node, y: Node) -> Node:
    return graph.make("mul", d, graph.make("mul", y, graph.make("sub", graph.number(1), y)))


def _tanh_backward(graph: Graph, d: Node, y: Node) -> Node:
    square = graph.make("mul", y, y)
    return graph.make("mul", d, graph.make("sub", graph.number(1), square))


def _threshold_backward(graph: Graph, d: Node, x: Node, threshold: Node) -> Node:
    return graph.make("where", graph.make("le", x, threshold), graph.number(0), d)


def _copy(graph: Graph, old: Node, new: Node) -> Node:
    del graph, old
    return new


_CALLS: dict[str, Callable[..., Node]] = {
    **{name: _plain(op) for name, op in {
        "mul": "mul", "div": "div", "neg": "neg", "exp": "exp", "expm1": "expm1", "log": "log",
        "log1p": "log1p", "tanh": "tanh", "sigmoid": "sigmoid", "sqrt": "sqrt", "rsqrt": "rsqrt",
        "abs": "abs", "sign": "sign", "sgn": "sign", "sin": "sin", "cos": "cos", "atan": "atan",
        "erf": "erf", "floor": "floor", "maximum": "max", "minimum": "min", "clamp_min": "max",
        "clamp_max": "min",
        "gt": "gt", "ge": "ge", "lt": "lt", "le": "le", "eq": "eq", "ne": "ne",
        "logical_and": "and", "logical_or": "or", "logical_not": "not",
        "bitwise_and": "and", "bitwise_or": "or", "bitwise_not": "not",
    }.items()},
    "add": _scaled("add"), "sub": _scaled("sub"), "rsub": _rsub, "pow": _pow, "clamp": _clamp,
    "where": _where, "copy": _copy, "relu": _relu, "reciprocal": _reciprocal,
    "sigmoid_backward": _sigmoid_backward, "tanh_backward": _tanh_backward,
    "threshold_backward": _threshold_backward,
}  # fmt: skip
