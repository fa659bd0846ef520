"""What stands between a gated cell's matrix products and its equations, for any cell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqlab.construct import construct
from seqlab.errors import OptionError, UnknownNameError
from seqlab.options.resolve import resolve_initializer
from seqlab.registry import spoken
from seqlab.schema import checked


class CellGates(NamedTuple):
    """The gates of a cell that a modifier is made for.

    ``inputs`` are the names of those with a part in ``x``, ``recurrent`` of those with a part in
    ``h``; ``hidden_size`` is H.
    """

    inputs: tuple[str, ...]
    recurrent: tuple[str, ...]
    hidden_size: int

    @property
    def shared(self) -> tuple[str, ...]:
        """The gates that have both parts, in the order of ``inputs``."""
        return tuple(gate for gate in self.inputs if gate in self.recurrent)


class Modifier(nn.Module, ABC):
    """``x, h = modify(x, h, state)`` before a gated cell's equations are given ``x`` and ``h``.

    It is part of the equations: every engine traces it with them, so it must be as they are,
    elementwise and pure. A subclass writes ``modify``; where it has parameters or options, also
    ``__init__``, which makes vectors ``[H]`` for each gate by ``make_vectors``.

    A cell with several recurrent products asks once for each: ``h`` then holds the gates made so
    far, which may be none, and ``x`` those of all input gates and raw inputs.

    Args:
        gates: the gates of the cell.

    Example:
        >>> import seqlab
        >>> class Halved(Modifier):
        ...     "Half of every recurrent part."
        ...     def modify(self, x, h, state):
        ...         return x, with_gates(h, {gate: 0.5 * getattr(h, gate) for gate in h._fields})
        >>> layer = seqlab.GRU(3, 4, modifier=Halved)
        >>> layer(torch.zeros(2, 5, 3))[0].shape
        torch.Size([2, 5, 4])
    """

    def __init__(self, gates: CellGates) -> None:
        super().__init__()
        self.gates = gates
        self._initial: dict[str, Any] = {}

    @abstractmethod
    def modify(self, x: Any, h: Any, state: Any) -> tuple[Any, Any]:
        """The gates' parts as the equations are to see them.

        Args:
            x: a named tuple of the gates' input parts and of raw inputs, each ``[B, H]``.
            h: a named tuple of the gates' recurrent parts, each ``[B, H]``.
            state: the cell's ``State`` before the step.

        Returns:
            ``x`` and ``h`` with the same fields; ``with_gates`` replaces some of them.
        """

    def make_vectors(self, **initial: Any) -> None:
        """Make a parameter ``[H]`` of each name for each gate that has both parts, and draw it.

        Args:
            **initial: by name a number that fills it, or an initializer.

        Raises:
            OptionError: the cell has no such gate.
        """
        if not self.gates.shared:
            raise OptionError(
                f"{spoken('modifier', self)} needs a gate with an input and a recurrent part, "
                f"and the cell has inputs for {', '.join(self.gates.inputs)} and recurrent parts "
                f"for {', '.join(self.gates.recurrent) or 'none'}"
            )
        self._initial.update(initial)
        for name in initial:
            for gate in self.gates.shared:
                empty = torch.empty(self.gates.hidden_size)
                self.register_parameter(f"{name}_{gate}", nn.Parameter(empty))
        self.reset_parameters()

    def vector(self, name: str, gate: str) -> Tensor:
        """One of the parameters that ``make_vectors`` made, ``[H]``."""
        found: Tensor = getattr(self, f"{name}_{gate}")
        return found

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the parameters anew, as ``make_vectors`` was told."""
        for name, initial in self._initial.items():
            for gate in self.gates.shared:
                parameter = self.vector(name, gate)
                if isinstance(initial, int | float):
                    parameter.fill_(initial)
                else:
                    resolve_initializer(name, initial)(parameter)


class MultiplicativeIntegration(Modifier):
    """``alpha * x * h + beta_x * x + beta_h * h`` in the place of each gate's ``x + h``.

    Wu, Zhang, Zhang, Bengio and Salakhutdinov, "On multiplicative integration with recurrent neural
    networks" (2016): the two products of a gate scale each other, at the price of three vectors
    ``[H]`` a gate. Here ``x = W x_t + b`` has the cell's bias in it: the paper adds it to the sum
    instead, which for ``beta_x`` other than 0 are the same functions.

    The equations are given ``beta_x * x`` and ``(alpha * x + beta_h) * h``: the same sum, and where
    a cell treats the parts apart, as a GRU with ``reset_after`` does, the reset gate scales ``h``
    wherever it stands. Gates with one part alone stay as they are.

    Args:
        gates: the gates of the cell.
        alpha: where every ``alpha`` begins.
        beta_x: where every ``beta_x`` begins.
        beta_h: where every ``beta_h`` begins.

    Raises:
        OptionError: no gate of the cell has both parts.

    Config: ``cell.modifier={name: multiplicative_integration, alpha: 2.0}``.

    Example:
        >>> modifier = MultiplicativeIntegration(CellGates(("forget",), ("forget",), 2))
        >>> from seqlab.cells.declaration import gate_tuple
        >>> gates = gate_tuple(("forget",))
        >>> x, h = modifier.modify(gates(torch.full((1, 2), 2.0)), gates(torch.ones(1, 2)), None)
        >>> (x.forget + h.forget).tolist()
        [[3.5, 3.5]]
    """

    @checked
    def __init__(
        self, gates: CellGates, *, alpha: float = 1.0, beta_x: float = 0.5, beta_h: float = 0.5
    ) -> None:
        super().__init__(gates)
        self.make_vectors(alpha=alpha, beta_x=beta_x, beta_h=beta_h)

    def modify(self, x: Any, h: Any, state: Any) -> tuple[Any, Any]:  # noqa: ARG002  # for others
        """The two parts of the sum."""
        inputs, recurrent = {}, {}
        for gate in h._fields:
            if gate in self.gates.shared:
                own, other = getattr(x, gate), getattr(h, gate)
                inputs[gate] = self.vector("beta_x", gate) * own
                scale = self.vector("alpha", gate) * own + self.vector("beta_h", gate)
                recurrent[gate] = scale * other
        return with_gates(x, inputs), with_gates(h, recurrent)


def with_gates(group: Any, replaced: Mapping[str, Tensor]) -> Any:
    """A named tuple of gates with some of its fields replaced.

    >>> from seqlab.cells.declaration import gate_tuple
    >>> with_gates(gate_tuple(("reset", "update"))(1, 2), {"update": 5})
    Gates(reset=1, update=5)
    """
    pairs = zip(group._fields, group, strict=True)
    return type(group)(*[replaced.get(name, value) for name, value in pairs])


def make_modifier(cell: Any, spec: Any) -> Modifier | None:
    """The modifier that an option of a cell asks for.

    Args:
        cell: the gated cell, with its gates declared.
        spec: None, a registered name, a mapping with ``name`` and options, or a class.

    Raises:
        OptionError: it is none of these, the modifier refuses, or the cell's class has a step of
            its own.
    """
    if spec is None:
        return None
    _refuse_own_step(cell)
    gates = CellGates(cell.input_gates, cell.recurrent_gates, cell.hidden_size)
    if isinstance(spec, type) and issubclass(spec, Modifier):
        return spec(gates)
    if not isinstance(spec, str | Mapping):
        raise OptionError(f"modifier: expected the name of a modifier or its class, got {spec!r}")
    try:
        made = construct("modifier", spec, gates, where="modifier")
    except UnknownNameError as error:
        raise OptionError(f"modifier: {error}") from error
    if not isinstance(made, Modifier):
        raise OptionError(f"modifier: {spec!r} makes a {type(made).__name__}, not a Modifier")
    return made


def _refuse_own_step(cell: Any) -> None:
    """Refuse a class whose own step would pass a modifier by without a word."""
    for name in ("step", "step_with"):
        home = next(base for base in type(cell).__mro__ if name in vars(base))
        if "modified" not in vars(home):
            raise OptionError(
                f"modifier: {home.__name__} has a {name} of its own, which asks no modifier; "
                "write the equations in update, or leave the modifier out"
            )


def apply_modifier(modifier: Modifier, x: Any, h: Any, state: Any) -> tuple[Any, Any]:
    """What a modifier makes of gates, if it has the form that the equations need.

    Raises:
        OptionError: it returned something else; the message says what to return.
    """
    made = modifier.modify(x, h, state)
    if type(made) is tuple and [type(part) for part in made] == [type(x), type(h)]:
        return made
    got = type(made).__name__
    if type(made) is tuple:
        got = f"({', '.join(type(part).__name__ for part in made)})"
    raise OptionError(
        f"{type(modifier).__name__}.modify gives {got}, and both groups of gates are needed: "
        "write `return x, h`, each with the fields that it came with"
    )
