"""From a gated cell's ``update`` to elementwise expressions of its values and its gradients."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx

from seqlab.cells.base import state_fields
from seqlab.cells.gated import GatedCell
from seqlab.cells.noise import Noise
from seqlab.engines.expressions import LOGICAL, Builder, Node, const, number, variable

#: Parameters that the base class applies outside ``update``.
OUTSIDE = frozenset({"weight_ih", "weight_hh", "weight_hr", "bias", "recurrent_bias", "norm_ih",
                     "norm_hh"})  # fmt: skip
aten = torch.ops.aten


class NotElementwiseError(Exception):
    """The equations hold something that is not elementwise maths; the message says what."""


class Traced(NamedTuple):
    """What one function computes: its values, and the gradients of its inputs.

    ``inputs`` and ``gradients`` are parallel; a gradient may be the number 0. ``cotangents`` stand
    for the gradients of the values.
    """

    values: tuple[Node, ...]
    inputs: tuple[Node, ...]
    gradients: tuple[Node, ...]


class Equations(NamedTuple):
    """A cell's equations as expressions.

    ``update``: values are the output and the next state's fields. ``second``: the input of the
    second recurrent product, or None. ``parameters`` are the names of the cell's own elementwise
    parameters; ``zoned`` the indices of the state fields whose zoneout masks are inputs ``z``.
    """

    gates: int
    first_gates: int
    states: int
    update: Traced
    second: Traced | None
    parameters: tuple[str, ...]
    buffers: tuple[str, ...]
    zoned: tuple[int, ...]
    normalised: bool


class _Bound(nn.Module):
    """Calls a method of a cell with its elementwise parameters replaced."""

    def __init__(self, cell: GatedCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, function: Callable[[GatedCell], Any]) -> Any:
        return function(self.cell)


def trace(cell: GatedCell, *, zoneout_masks: bool) -> Equations:
    """Trace a cell's equations and their gradients.

    Args:
        cell: the cell; its parameters are not touched.
        zoneout_masks: whether zoneout draws masks (training) or takes expectations.

    Raises:
        NotElementwiseError: something in ``update`` is not elementwise maths.
    """
    own = [name for name, _ in cell.named_parameters() if name not in OUTSIDE]
    buffers = [name for name, _ in cell.named_buffers()]
    zoned = tuple(i for i, rate in enumerate(cell.zoneout) if rate) if zoneout_masks else ()
    gates, states = len(cell.gates), len(state_fields(cell.State))
    first = gates - len(cell.second_gates)
    extra = [("p", i) for i in range(len(own) + len(buffers))]
    bound = _Bound(cell)
    names = [f"cell.{name}" for name in (*own, *buffers)]

    def call(function: Callable[[GatedCell], Any], replaced: Sequence[Tensor]) -> Any:
        swapped = dict(zip(names, replaced, strict=True))
        return torch.func.functional_call(bound, swapped, (function,))

    def update(*tensors: Tensor) -> tuple[Tensor, ...]:
        x, h, s, p, z = _split(tensors, (gates, gates, states, len(extra), len(zoned)))

        def apply(cell: GatedCell) -> Any:
            old = cell.State(*s)
            output, new = cell.update(cell._gate_type(*x), cell._gate_type(*h), old)  # noqa: SLF001  # the engine runs the base class's step
            masks = [None] * states
            for index, mask in zip(zoned, z, strict=True):
                masks[index] = mask  # type: ignore[call-overload]  # a list of masks and Nones
            noise = Noise(zoneout=tuple(masks)) if zoned else None
            return cell._zone_out(output, new, old, noise)  # noqa: SLF001  # as above

        output, new = call(apply, p)
        return (output, *new)

    def second(*tensors: Tensor) -> tuple[Tensor, ...]:
        x, h, s, p = _split(tensors, (gates, first, states, len(extra)))

        def apply(cell: GatedCell) -> Any:
            return cell.second_input(cell._gate_type(*x), cell._first_type(*h), cell.State(*s))  # noqa: SLF001  # as above

        return (call(apply, p),)

    build = Builder()
    width = cell.hidden_size
    base = [("x", gates), ("h", gates), ("s", states)]
    inputs = [(k, i) for k, n in base for i in range(n)] + extra
    masks = [("z", i) for i in range(len(zoned))]
    cotangents = [("do", 0), *(("ds", i) for i in range(states))]
    traced = _trace(update, [*inputs, *masks], cotangents, width, build)
    second_traced = None
    if cell.second_gates:
        seen = [(k, i) for k, i in inputs if not (k == "h" and i >= first)]
        second_traced = _trace(second, seen, [("dv", 0)], width, build)
    return Equations(
        gates, first, states, traced, second_traced, tuple(own), tuple(buffers), zoned,
        cell.layer_norm,
    )  # fmt: skip


def _split(tensors: Sequence[Tensor], counts: Sequence[int]) -> list[Sequence[Tensor]]:
    parts, start = [], 0
    for count in counts:
        parts.append(tensors[start : start + count])
        start += count
    return parts


def _trace(
    function: Callable[..., tuple[Tensor, ...]],
    inputs: list[tuple[str, int]],
    cotangents: list[tuple[str, int]],
    width: int,
    build: Builder,
) -> Traced:
    """Values and gradients of one elementwise function of ``[2, width]`` tensors."""

    def joint(*tensors: Tensor) -> Any:
        primals = tensors[: len(inputs)]
        values = function(*primals)
        for value in values:
            if not isinstance(value, Tensor) or value.shape != (2, width):
                shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise NotElementwiseError(f"a value of shape {shape} where [B, H] is needed")
        pairs = [
            (v, c) for v, c in zip(values, tensors[len(inputs) :], strict=True) if v.requires_grad
        ]
        grads = torch.autograd.grad(
            [v for v, _ in pairs], primals, [c for _, c in pairs], allow_unused=True
        )
        return (*values, *grads)

    # fixed values, not random ones: tracing must not move the generator of the run
    count = (len(inputs) + len(cotangents)) * 2 * width
    numbers = torch.linspace(0.1, 0.9, count, dtype=torch.float32).view(-1, 2, width)
    arguments = [number.clone() for number in numbers]
    for argument in arguments[: len(inputs)]:
        argument.requires_grad_()
    try:
        with torch.enable_grad():
            graph = make_fx(joint, decomposition_table=_decompositions())(*arguments)
    except NotElementwiseError:
        raise
    except Exception as error:  # any Python that an author wrote may refuse to be traced
        raise NotElementwiseError(f"{type(error).__name__}: {error}".splitlines()[0]) from error
    variables = [build.unique(variable(kind, i)) for kind, i in (*inputs, *cotangents)]
    results = _Translation(graph, width, build).run(variables)
    values, gradients = results[: len(cotangents)], results[len(cotangents) :]
    zero = build.unique(const(0.0))
    return Traced(
        tuple(_known(value) for value in values),
        tuple(variables[: len(inputs)]),
        tuple(zero if gradient is None else gradient for gradient in gradients),
    )


def _known(node: Node | None) -> Node:
    if node is None:
        raise NotElementwiseError("a missing value")
    return node


def _decompositions() -> dict[Any, Any]:
    from torch._decomp import core_aten_decompositions, get_decompositions

    table = dict(core_aten_decompositions())
    table.update(get_decompositions([aten.gelu, aten.hardsigmoid, aten.hardtanh, aten.leaky_relu]))
    return table


class _Translation:
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
        target: Any = node.target
        name = str(getattr(target, "overloadpacket", target)).removeprefix("aten.")
        if target is operator.getitem:
            raise NotElementwiseError("an operation with several results")
        shape = getattr(node.meta.get("tensor_meta"), "shape", None) or getattr(
            node.meta.get("val"), "shape", None
        )
        if shape is not None and tuple(shape) not in {(), (1,), (self.width,), (2, self.width),
                                                      (1, self.width), (1, 1), (2, 1)}:  # fmt: skip
            raise NotElementwiseError(f"aten.{name} gives a shape {tuple(shape)}")
        if name in _SAME:
            return self._argument(node.args[0])
        if name in _FILLED:
            return self._number(_FILLED[name] if name in _FILLED_FIXED else node.args[1])
        if name == "scalar_tensor":
            return self._number(node.args[0])
        handler = _CALLS.get(name)
        if handler is None:
            raise NotElementwiseError(f"aten.{name} is not in this engine's elementwise maths")
        arguments = [self._argument(a) for a in node.args]
        keywords = {k: self._argument(v) for k, v in node.kwargs.items() if k == "alpha"}
        result: Node = handler(self.build, *arguments, **keywords)
        return result


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
    "relu": _relu, "reciprocal": _reciprocal, "clamp_max": _high,
}  # fmt: skip
