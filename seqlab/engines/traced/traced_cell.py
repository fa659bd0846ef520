"""From a gated cell's ``update`` to elementwise expressions of its values and its gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqlab.cells.base import next_state, state_fields
from seqlab.cells.declaration import Product, gate_tuple
from seqlab.cells.gated import GatedCell
from seqlab.cells.zoneout import zone_out
from seqlab.engines.replaced_parameters import with_parameters
from seqlab.engines.traced.aten_maths import NotElementwiseError, Translation
from seqlab.engines.traced.constants import OUTSIDE, product_sources, reached_names
from seqlab.engines.traced.folding import FoldedGraph
from seqlab.engines.traced.recording import record
from seqlab.expressions import Graph, Node, ordered

aten = torch.ops.aten


class TracedFunction(NamedTuple):
    """What one function computes: its values, and the gradients of its inputs.

    ``inputs`` and ``gradients`` are parallel; a gradient may be the number 0. ``cotangents`` stand
    for the gradients of the values.
    """

    values: tuple[Node, ...]
    inputs: tuple[Node, ...]
    gradients: tuple[Node, ...]


class TracedProduct(NamedTuple):
    """A recurrent product after the first: the input of it, and how many gates it makes."""

    vector: TracedFunction
    gates: int


class TracedCell(NamedTuple):
    """A cell's equations as expressions.

    ``update``: values are the output and the next state's fields. ``inputs`` counts the parts of
    the projected input (``x``), ``gates`` the recurrent ones (``h``), of which the first product
    makes ``first_gates`` and those of ``later`` the others, in order. ``parameters`` are the names
    of the cell's own elementwise parameters; ``zoned`` the indices of the state fields whose
    zoneout masks are inputs ``z``. ``narrows`` tells that ``proj_size`` narrows the first state
    field: it and the output are then those before the projection, and the field has no zoneout
    here.
    """

    inputs: int
    gates: int
    first_gates: int
    states: int
    update: TracedFunction
    later: tuple[TracedProduct, ...]
    parameters: tuple[str, ...]
    buffers: tuple[str, ...]
    zoned: tuple[int, ...]
    normalised: bool
    narrows: bool

    @property
    def products(self) -> int:
        """The number of recurrent products of a step."""
        return 1 + len(self.later)

    @property
    def starts(self) -> list[int]:
        """The first gate of each product, and the number of all."""
        found = [0, self.first_gates]
        for product in self.later:
            found.append(found[-1] + product.gates)
        return found


@torch.inference_mode(mode=False)  # there autograd sees nothing, and the code is kept for training
def trace(cell: GatedCell, *, zoneout_masks: bool) -> TracedCell:
    """Trace a cell's equations and their gradients.

    Args:
        cell: the cell; its parameters are not touched.
        zoneout_masks: whether zoneout draws masks (training) or takes expectations.

    Raises:
        NotElementwiseError: something in ``update`` is not elementwise maths.
    """
    own = _elementwise(cell, cell.named_parameters())
    buffers = _elementwise(cell, cell.named_buffers())
    narrows = cell.weight_hr is not None and cell.projects_state
    zoned = [i for i, rate in enumerate(cell.zoneout) if rate and not (narrows and i == 0)]
    zoned = zoned if zoneout_masks else []
    inputs, gates = len(cell.input_gates) + len(cell.raw), len(cell.recurrent_gates)
    states = len(state_fields(cell.State))
    names = [*own, *buffers]
    extra = [("p", i) for i in range(len(names))]

    def update(*tensors: Tensor) -> tuple[Tensor, ...]:
        x, h, s, p, z = _split(tensors, (inputs, gates, states, len(extra), len(zoned)))

        def apply() -> Any:
            old = cell.State(*s)
            given = cell.modified(cell.input_type(*x), cell.recurrent_type(*h), old)
            made = cell.update(*given, old)
            output, new = next_state(cell, made, old)
            masks: list[Tensor | None] = [None] * states
            for index, mask in zip(zoned, z, strict=True):
                masks[index] = mask
            shown, mixed = zone_out(output, new, old, cell.zoneout, masks if zoned else None)
            # the engine narrows the output, and that is the first field and has its zoneout
            return (output, (output, *mixed[1:])) if narrows else (shown, mixed)

        output, new = with_parameters(cell, dict(zip(names, p, strict=True)), apply)
        return (output, *new)

    def vector(product: Product, known: int) -> Callable[..., tuple[Tensor, ...]]:
        def function(*tensors: Tensor) -> tuple[Tensor, ...]:
            x, h, s, p = _split(tensors, (inputs, known, states, len(extra)))

            def apply() -> Tensor:
                made = gate_tuple(cell.recurrent_gates[:known])(*h)
                found: Tensor = product.vector(cell, cell.input_type(*x), made, cell.State(*s))
                return found

            return (with_parameters(cell, dict(zip(names, p, strict=True)), apply),)

        return function

    graph = FoldedGraph()
    width = cell.hidden_size

    def seen(known: int) -> list[tuple[str, int]]:
        base = [("x", inputs), ("h", known), ("s", states)]
        return [(k, i) for k, n in base for i in range(n)] + extra

    masks = [("z", i) for i in range(len(zoned))]
    cotangents = [("do", 0), *(("ds", i) for i in range(states))]
    traced = _trace(update, [*seen(gates), *masks], cotangents, width, graph)
    later, known = [], len(cell.chain[0].gates)
    for product in cell.chain[1:]:
        function = vector(product, known)
        made = _trace(function, seen(known), [("dv", 0)], width, graph)
        later.append(TracedProduct(made, len(product.gates)))
        known += len(product.gates)
    if narrows:
        _refuse_narrowed(traced, *(product.vector for product in later))
    return TracedCell(
        inputs, gates, len(cell.chain[0].gates), states, traced, tuple(later), tuple(own),
        tuple(buffers), tuple(zoned), cell.layer_norm, narrows,
    )  # fmt: skip


def _elementwise(cell: GatedCell, named: Iterable[tuple[str, Tensor]]) -> list[str]:
    """Of parameters or buffers the vectors and numbers that the equations may read.

    Others serve ``recurrent_matrix``, or nothing here, as what torch keeps for a norm of weights.
    """
    reached, found = reached_names(type(cell), product_sources(cell)), []
    for name, value in named:
        place = _attribute(name)
        if place in OUTSIDE:
            continue
        if value.dim() < 2 and value.numel() in {1, cell.hidden_size}:
            found.append(name)
        elif place in reached:
            raise NotElementwiseError(_unfit(name, value, cell.hidden_size))
    return found


def _attribute(name: str) -> str:
    """The attribute of the cell of which a parameter is a part.

    >>> _attribute("gates.weight"), _attribute("parametrizations.decay.original")
    ('gates', 'decay')
    """
    first, *rest = name.split(".")
    return rest[0] if first == "parametrizations" and rest else first


def _unfit(name: str, value: Tensor, width: int) -> str:
    if value.dim() > 1:
        return (
            f"it reads the matrix `{name}`; declare its product in `products`, or make the "
            "recurrent matrix of it in `recurrent_matrix`"
        )
    numbers = value.numel()
    return f"it reads `{name}`, which has {numbers} numbers, neither 1 nor hidden_size={width}"


def _refuse_narrowed(*functions: TracedFunction) -> None:
    """Refuse equations that read the state field that ``proj_size`` narrows."""
    nodes = ordered(n for f in functions for n in f.values)
    if any(n.op == "symbol" and n.value == ("s", 0) for n in nodes):
        raise NotElementwiseError("it reads the state field that proj_size narrows")


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
    graph: Graph,
) -> TracedFunction:
    """Values and gradients of one elementwise function of ``[2, width]`` tensors."""

    def joint(*tensors: Tensor) -> Any:
        primals = tensors[: len(inputs)]
        values = function(*primals)
        for value in values:
            if not isinstance(value, Tensor) or value.shape != (2, width):
                shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise NotElementwiseError(f"a value of shape {shape} where [B, H] is needed")
        # a sum, as gradients given for several values make torch import its symbolic shapes;
        # autograd goes through it from its end
        pairs = reversed([*zip(values, tensors[len(inputs) :], strict=True)])
        total = sum((v * cotangent).sum() for v, cotangent in pairs if v.requires_grad)
        grads: Sequence[Tensor | None] = [None] * len(primals)
        if isinstance(total, Tensor):
            grads = torch.autograd.grad(total, primals, allow_unused=True)
        return (*values, *grads)

    # fixed values, not random ones: tracing must not move the generator of the run
    count = (len(inputs) + len(cotangents)) * 2 * width
    numbers = torch.linspace(0.1, 0.9, count, dtype=torch.float32, device="cpu")
    numbers = numbers.view(-1, 2, width)
    arguments = [number.clone() for number in numbers]
    for argument in arguments[: len(inputs)]:
        argument.requires_grad_()
    try:
        # a look for anomalies asks for values, which a graph does not have
        with torch.enable_grad(), torch.autograd.set_detect_anomaly(mode=False):
            recorded = record(joint, arguments, _decompositions())
    except NotElementwiseError:
        raise
    except Exception as error:  # any Python that an author wrote may refuse to be traced
        raise NotElementwiseError(f"{type(error).__name__}: {error}".splitlines()[0]) from error
    variables = [graph.symbol(kind, i) for kind, i in (*inputs, *cotangents)]
    results = Translation(recorded, width, graph).run(variables)
    values, gradients = results[: len(cotangents)], results[len(cotangents) :]
    zero = graph.number(0)
    return TracedFunction(
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
    # of the commonest, as their decompositions make torch import sympy
    for packet in (aten.sigmoid_backward, aten.tanh_backward, aten.threshold_backward):
        table.pop(packet.default, None)
    return table
