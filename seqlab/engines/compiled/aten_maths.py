"""From a traced graph of ATen calls to elementwise expressions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from torch import Tensor, fx

from seqlab.engines.compiled.expressions import LOGICAL, Builder, Node, const, number


class NotElementwiseError(Exception):
    """The equations hold something that is not elementwise maths; the message says what."""


class Translation:
    """An fx graph of ATen calls as expressions."""

    def __init__(self, graph: fx.GraphModule, width: int, build: Builder) -> None:
        self.graph, self.width, self.build = graph, width, build
        self.values: dict[fx.Node, Any] = {}

    def run(self, variables: list[Node]) -> list[Node | None]:
        """The outputs' expressions."""
        given = iter(variables)
        for node in self.graph.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = next(given)
            elif node.op == "get_attr":
                self.values[node] = self._constant(getattr(self.graph, str(node.target)))
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
        return self.build.unique(const(float(value)))

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
        shape = getattr(node.meta.get("tensor_meta"), "shape", None) or getattr(
            node.meta.get("val"), "shape", None
        )
        if shape is not None and tuple(shape) not in {(), (1,), (self.width,), (2, self.width),
                                                      (1, self.width), (1, 1), (2, 1)}:  # fmt: skip
            raise NotElementwiseError(f"aten.{name} gives a shape {tuple(shape)}")
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
        result: Node = handler(self.build, *arguments, **keywords)
        return result


def _name(node: fx.Node) -> str:
    target: Any = node.target
    return str(getattr(target, "overloadpacket", target)).removeprefix("aten.")


_SAME = frozenset({"alias", "detach", "clone", "_to_copy", "expand", "view", "contiguous",
                   "lift_fresh_copy", "lift_fresh", "_unsafe_view", "reshape"})  # fmt: skip
_FILLED_FIXED = frozenset({"zeros_like", "ones_like", "new_zeros", "new_ones", "zeros", "ones"})
_FILLED = {"zeros_like": 0.0, "ones_like": 1.0, "new_zeros": 0.0, "new_ones": 1.0, "zeros": 0.0,
           "ones": 1.0, "full_like": None, "full": None, "new_full": None}  # fmt: skip


def _as_real(build: Builder, node: Node) -> Node:
    return build("real", node) if node.op in LOGICAL else node


def _plain(op: str) -> Callable[..., Node]:
    def handle(build: Builder, *args: Node) -> Node:
        reals = args if op in {"and", "or", "not"} else [_as_real(build, a) for a in args]
        return build(op, *reals)

    return handle


def _add(build: Builder, a: Node, b: Node, alpha: Node | None = None) -> Node:
    b = _as_real(build, b)
    return build("add", _as_real(build, a), b if alpha is None else build("mul", b, alpha))


def _sub(build: Builder, a: Node, b: Node, alpha: Node | None = None) -> Node:
    b = _as_real(build, b)
    return build("sub", _as_real(build, a), b if alpha is None else build("mul", b, alpha))


def _rsub(build: Builder, a: Node, b: Node, alpha: Node | None = None) -> Node:
    return _sub(build, b, a, alpha)


def _pow(build: Builder, base: Node, exponent: Node) -> Node:
    power = number(exponent)
    if power == 0.5:
        return build("sqrt", base)
    if power is not None and power in {1.0, 2.0, 3.0}:
        result = base
        for _ in range(int(power) - 1):
            result = build("mul", result, base)
        return result
    return build("pow", base, exponent)


def _clamp(build: Builder, x: Node, low: Node | None = None, high: Node | None = None) -> Node:
    x = x if low is None else build("max", x, low)
    return x if high is None else build("min", x, high)


def _where(build: Builder, condition: Node, yes: Node, no: Node) -> Node:
    return build("where", condition, _as_real(build, yes), _as_real(build, no))


def _relu(build: Builder, x: Node) -> Node:
    return build("max", x, build.unique(const(0.0)))


def _reciprocal(build: Builder, x: Node) -> Node:
    return build("div", build.unique(const(1.0)), x)


def _copy(build: Builder, old: Node, new: Node) -> Node:
    del build, old
    return new


def _high(build: Builder, x: Node, high: Node) -> Node:
    return build("min", x, high)


_CALLS: dict[str, Callable[..., Node]] = {
    **{name: _plain(op) for name, op in {
        "mul": "mul", "div": "div", "neg": "neg", "exp": "exp", "expm1": "expm1", "log": "log",
        "log1p": "log1p", "tanh": "tanh", "sigmoid": "sigmoid", "sqrt": "sqrt", "rsqrt": "rsqrt",
        "abs": "abs", "sign": "sign", "sgn": "sign", "sin": "sin", "cos": "cos", "atan": "atan",
        "erf": "erf", "floor": "floor", "maximum": "max", "minimum": "min", "clamp_min": "max",
        "gt": "gt", "ge": "ge", "lt": "lt", "le": "le", "eq": "eq", "ne": "ne",
        "logical_and": "and", "logical_or": "or", "logical_not": "not",
        "bitwise_and": "and", "bitwise_or": "or", "bitwise_not": "not",
    }.items()},
    "add": _add, "sub": _sub, "rsub": _rsub, "pow": _pow, "clamp": _clamp, "where": _where,
    "copy": _copy, "relu": _relu, "reciprocal": _reciprocal, "clamp_max": _high,
}  # fmt: skip
