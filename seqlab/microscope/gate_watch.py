"""The values of gates, read off a cell's ``update`` while it runs.

A gate is what comes out of the first squashing function that is applied to one gate's parts alone:
``sigmoid(x.forget + h.forget)``. An author of a cell need not say anything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from seqlab.cells.base import Cell
from seqlab.cells.gated import GatedCell

#: Functions of one tensor that make a gate of it, by the names torch gives them.
SQUASHING = frozenset({
    "sigmoid", "tanh", "relu", "relu6", "softplus", "exp", "hardsigmoid", "hardtanh", "hardswish",
    "silu", "gelu", "elu", "selu", "celu", "mish", "softsign", "logsigmoid", "leaky_relu",
    "softmax", "log_softmax",
})  # fmt: skip


@contextlib.contextmanager
def watched_gates(cell: Cell) -> Iterator[dict[str, Tensor]]:
    """The gates of what is run inside, by name; empty for a cell without ``update``."""
    found: dict[str, Tensor] = {}
    if not isinstance(cell, GatedCell):
        yield found
        return
    methods = [name for name in _equations(cell) if name not in vars(cell)]
    vars(cell).update({name: _watching(cell, getattr(cell, name), found) for name in methods})
    try:
        yield found
    finally:
        for name in methods:
            del vars(cell)[name]


def _equations(cell: GatedCell) -> list[str]:
    """The methods with the cell's equations: ``update``, and what further products multiply."""
    names = ["update", *(["second_input"] if cell.second_gates else [])]
    names += [name for name in getattr(cell, "products", ()) if callable(getattr(cell, name, None))]
    return list(dict.fromkeys(names))


def _watching(
    cell: GatedCell, method: Callable[..., Any], found: dict[str, Tensor]
) -> Callable[..., Any]:
    """The method, noting the gates that it makes of the groups of parts it is given."""

    def run(*groups: Any) -> Any:
        watch = _Watch(groups)
        own = vars(cell)
        names = [n for n in ("activation", "recurrent_activation") if callable(own.get(n))]
        before = {name: own[name] for name in names}
        own.update({name: watch.activation(function) for name, function in before.items()})
        try:
            with watch:
                return method(*groups)
        finally:
            own.update(before)
            found.update({name: gate for name, gate in watch.gates.items() if name not in found})

    return run


class _Watch(TorchFunctionMode):
    """Follows which gates each tensor is made of."""

    def __init__(self, groups: Sequence[Any]) -> None:
        super().__init__()
        self.gates: dict[str, Tensor] = {}
        self._made_of: dict[int, frozenset[str]] = {}
        self._kept: list[Tensor] = []
        self._inside = False
        for group in groups[:2]:  # x and h; the state's fields are no gates
            for name, tensor in zip(getattr(group, "_fields", ()), group, strict=False):
                if isinstance(tensor, Tensor):
                    self._note(tensor, frozenset([name]))

    def activation(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whatever it is made of, as one that makes a gate."""

        def run(value: Any, *rest: Any, **options: Any) -> Any:
            before, self._inside = self._inside, True
            try:
                out = function(value, *rest, **options)
            finally:
                self._inside = before
            self._take(self._origin([value]), out)
            return out

        return run

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = function(*args, **(kwargs or {}))
        if self._inside or not isinstance(out, Tensor | tuple | list):
            return out
        inputs = _tensors([args, list((kwargs or {}).values())])
        origin = self._origin(inputs)
        name = getattr(function, "__name__", "").rstrip("_")
        if name in SQUASHING and len(inputs) == 1:
            self._take(origin, out)
        else:
            for tensor in _tensors(out):
                self._note(tensor, origin)
        return out

    def _origin(self, tensors: list[Any]) -> frozenset[str]:
        return frozenset().union(*(self._made_of.get(id(t), frozenset()) for t in tensors))

    def _take(self, origin: frozenset[str], out: Any) -> None:
        """Keep a gate; what is made of it later is no longer part of its own equation."""
        if isinstance(out, Tensor):
            if len(origin) == 1 and (name := next(iter(origin))) not in self.gates:
                self.gates[name] = out
                origin = frozenset()
            self._note(out, origin)

    def _note(self, tensor: Tensor, origin: frozenset[str]) -> None:
        self._kept.append(tensor)  # an id stands for one tensor as long as it lives
        self._made_of[id(tensor)] = origin


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, tuple | list):
        return [tensor for part in value for tensor in _tensors(part)]
    return []
