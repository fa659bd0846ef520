"""What the author of a gated cell declares, and what is wrong with it."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from seqlab.cells.base import state_fields
from seqlab.errors import OptionError

#: Not ``functools.cache``: steps look types up, and torch's tracers warn of cached functions. Nor
#: may what they trace add a type, so cells make theirs before.
_TYPES: dict[tuple[str, ...], Any] = {}


def gate_tuple(names: tuple[str, ...]) -> Any:
    """A named tuple type with one field per gate.

    >>> gate_tuple(("reset", "update"))(1, 2)
    Gates(reset=1, update=2)
    """
    if names not in _TYPES:
        _TYPES[names] = namedtuple("Gates", names)  # noqa: PYI024 - fields known at run time only
    return _TYPES[names]


def check_declaration(cell: Any) -> None:
    """Refuse a gated cell whose class attributes contradict each other.

    Raises:
        OptionError: the message names the attribute.
    """
    owner, gates = type(cell).__name__, tuple(cell.gates)
    if not gates or len(set(gates)) != len(gates):
        raise OptionError(f"{owner}.gates must name at least one gate, each once")
    if gates[len(gates) - len(cell.second_gates) :] != tuple(cell.second_gates):
        raise OptionError(f"{owner}.second_gates must be the last of gates {gates}")
    if not state_fields(cell.State):
        raise OptionError(f"{owner}.State must be a NamedTuple of tensors")
