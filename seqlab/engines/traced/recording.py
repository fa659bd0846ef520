"""ATen's calls of a function as an fx graph, without what ``torch.compile`` brings along.

``make_fx`` does the same and more. It imports torch's compilers on its way, which takes longer
than all else between a cell's equations and compiled code that lies in the cache.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

#: Asks for a number, which a graph does not have.
_DATA_DEPENDENT = torch.Tag.data_dependent_output
#: Calls that read of their first argument its shape alone.
_aten = torch.ops.aten
_SHAPE_ALONE = frozenset({_aten.ones_like, _aten.zeros_like, _aten.full_like, _aten.new_ones,
                          _aten.new_zeros, _aten.new_full})  # fmt: skip


class Recorded(NamedTuple):
    """A graph, and the tensors that its ``get_attr`` nodes name."""

    graph: fx.Graph
    constants: dict[str, Tensor]


class ValueAskedError(Exception):
    """The function asks for a value that depends on its inputs."""


def record(
    function: Callable[..., Sequence[Tensor | None]],
    arguments: Sequence[Tensor],
    decompositions: Mapping[Any, Callable[..., Any]],
) -> Recorded:
    """Call a function and write down what it computes, gradients that it takes included.

    Args:
        function: of tensors; its results may be None.
        arguments: what it is called with.
        decompositions: what stands for calls that are not to be written down as they are.

    Returns:
        The graph: a placeholder for each argument, calls whose values something needs, one output.

    Raises:
        ValueAskedError: it asks for a number.

    Example:
        >>> recorded = record(lambda x: (x * 2,), [torch.ones(3)], {})
        >>> [str(node.target) for node in recorded.graph.nodes]
        ['input', 'aten.mul.Tensor', 'output']
    """
    recorder = _Recorder(decompositions)
    for argument in arguments:
        recorder.know(argument, recorder.graph.placeholder("input"))
    with recorder:
        results = function(*arguments)
    recorder.graph.output([None if r is None else recorder.node_of(r) for r in results])
    recorder.graph.eliminate_dead_code()
    return Recorded(recorder.graph, recorder.constants)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Below autograd, so that a backward pass is seen as what it computes."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch's own hook: skipping it would import it."""
        return False

    def __init__(self, decompositions: Mapping[Any, Callable[..., Any]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.graph = fx.Graph()
        self.constants: dict[str, Tensor] = {}
        self._decompositions = decompositions
        #: By identity; the tensors are held, so that no other one takes it over.
        self._known: dict[int, tuple[Tensor, fx.Node]] = {}

    def know(self, tensor: Tensor, node: fx.Node) -> None:
        """A node stands for a tensor from now on."""
        self._known[id(tensor)] = tensor, node

    def node_of(self, value: Any) -> Any:
        """What stands for a value in the graph: of a tensor from elsewhere, a constant."""
        if not isinstance(value, Tensor):
            return value
        if id(value) not in self._known:
            name = f"constant{len(self.constants)}"
            self.constants[name] = value.detach().clone()
            self.know(value, self.graph.create_node("get_attr", name))
        return self._known[id(value)][1]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Write down one call, or what stands for it."""
        del types
        kwargs = kwargs or {}
        for stands_for in (self._decompositions.get(func), func.decompose):
            if stands_for is not None:
                with self:
                    made = stands_for(*args, **kwargs)
                if made is not NotImplemented:
                    return made
        return self._write(func, args, kwargs)

    def _write(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call as a node, and what it gives."""
        if _DATA_DEPENDENT in func.tags:
            if any(self._depends(value) for value in args):
                raise ValueAskedError(f"{func} asks for the value of an input")
            return func(*args, **kwargs)
        # before the call, which may change the arguments
        given, named = tree_map(self.node_of, args), tree_map(self.node_of, kwargs)
        if func.overloadpacket in _SHAPE_ALONE:
            given = (None, *given[1:])
        result = func(*args, **kwargs)
        node = self.graph.call_function(func, given, named)
        if isinstance(result, Tensor):
            node.meta["shape"] = tuple(result.shape)
            self.know(result, node)
        elif isinstance(result, (tuple, list)):
            for index, part in enumerate(result):
                if isinstance(part, Tensor):
                    self.know(part, self.graph.call_function(operator.getitem, (node, index)))
        return result

    def _depends(self, value: Any) -> bool:
        """Whether a value is or was made of the function's inputs."""
        known = self._known.get(id(value))
        found = [] if known is None else [known[1]]
        while found:
            node = found.pop()
            if node.op == "placeholder":
                return True
            found += node.all_input_nodes
        return False
