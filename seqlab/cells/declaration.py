"""What the author of a gated cell declares, and what is wrong with it."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from seqlab.cells.base import state_fields
from seqlab.errors import OptionError
from seqlab.registry import spoken

#: Not ``functools.cache``: steps look types up, and torch's tracers warn of cached functions. Nor
#: may what they trace add a type, so cells make theirs before.
_TYPES: dict[tuple[str, ...], Any] = {}


class Product(NamedTuple):
    """One recurrent product of a step: what it multiplies, and the gates that it makes.

    ``source`` is a method of the cell or a field of its state, and None for the first field.
    """

    source: str | None
    gates: tuple[str, ...]

    def vector(self, cell: Any, x: Any, h: Any, state: Any) -> Any:
        """What is multiplied, from the gates' input parts and the recurrent parts made so far."""
        if self.source is None:
            return state[0]
        if self.source in state_fields(cell.State):
            return getattr(state, self.source)
        return getattr(cell, self.source)(*cell.modified(x, h, state), state)


def gate_tuple(names: tuple[str, ...]) -> Any:
    """A named tuple type with one field per gate.

    >>> gate_tuple(("reset", "update"))(1, 2)
    Gates(reset=1, update=2)
    """
    if names not in _TYPES:
        made = namedtuple("Gates", names)  # type: ignore[misc]  # noqa: PYI024  # known at run time

        def missing(_: Any, name: str) -> Any:
            known = ", ".join(names) or "none"
            raise AttributeError(f"there is no gate {name!r} here, but {known}", name=name)

        made.__getattr__ = missing  # type: ignore[attr-defined]  # asked for what is no field
        _TYPES[names] = made
    return _TYPES[names]


def declare(cell: Any) -> None:
    """Complete and check what a gated cell declares: its gates and its recurrent products.

    Raises:
        OptionError: class attributes contradict each other; the message names them.
    """
    owner = type(cell).__name__
    for name in ("gates", "input_gates", "recurrent_gates", "second_gates"):
        _check_names(owner, name, getattr(cell, name))
    parts = (cell.input_gates, cell.recurrent_gates)
    gates = tuple(cell.gates) or tuple(dict.fromkeys(n for part in parts for n in part or ()))
    if not gates:
        raise OptionError(f"{owner}.gates must name at least one gate, each once")
    if not state_fields(cell.State):
        raise OptionError(f"{owner}.State must be a NamedTuple of tensors")
    cell.gates = gates
    cell.input_gates = gates if cell.input_gates is None else tuple(cell.input_gates)
    cell.recurrent_gates = gates if cell.recurrent_gates is None else tuple(cell.recurrent_gates)
    if set(gates) != {*cell.input_gates, *cell.recurrent_gates}:
        raise OptionError(
            f"{owner}: input_gates {cell.input_gates} and recurrent_gates {cell.recurrent_gates} "
            f"must be taken from gates {gates}, and leave none out"
        )
    if not cell.input_gates:
        raise OptionError(f"{owner}.input_gates must name at least one gate")
    _check_raw(cell)
    cell.chain = _chain(cell)


def _check_names(owner: str, name: str, given: Any) -> None:
    if given is None:
        return
    if isinstance(given, str):
        raise OptionError(f"{owner}.{name} is a string; write ({given!r},) with a comma")
    if len(set(given)) != len(tuple(given)):
        raise OptionError(f"{owner}.{name} must name each gate once, got {tuple(given)}")


def _check_raw(cell: Any) -> None:
    owner, taken = type(cell).__name__, sum(raw_columns(cell))
    for name, width in cell.raw.items():
        if name in cell.input_gates:
            raise OptionError(f"{owner}.raw: {name!r} is the name of a gate")
        if width == "all" and cell.input_size != cell.hidden_size:
            raise OptionError(
                f"{owner} uses its input without a matrix, so input_size {cell.input_size} must "
                f"equal hidden_size {cell.hidden_size}"
            )
        if width not in {1, cell.hidden_size, "all"}:
            raise OptionError(f"{owner}.raw: {name!r} must have width 1, H or 'all', not {width!r}")
    if taken >= cell.input_size:
        names = ", ".join(cell.raw)
        raise OptionError(
            f"{owner}: the last {taken} of its inputs are {names}, so input_size must be at least "
            f"{taken + 1}, got {cell.input_size}"
        )


def raw_columns(cell: Any) -> Iterator[int]:
    """The numbers of last input columns that the input matrix does not see."""
    return (width for width in cell.raw.values() if width != "all")


def _chain(cell: Any) -> tuple[Product, ...]:
    """The recurrent products in their order; the first one's gates may be none."""
    owner, recurrent = type(cell).__name__, cell.recurrent_gates
    if cell.products and cell.second_gates:
        raise OptionError(f"{owner}: second_gates is the short form of products; use one of them")
    if not cell.products:
        count = len(recurrent) - len(cell.second_gates)
        if tuple(recurrent[count:]) != tuple(cell.second_gates):
            raise OptionError(f"{owner}.second_gates must be the last of gates {recurrent}")
        rest = (Product("second_input", recurrent[count:]),) if cell.second_gates else ()
        return (Product(None, recurrent[:count]), *rest)
    entries: list[Product] = []
    for source, gates in cell.products.items():
        _check_names(owner, f"products[{source!r}]", gates)
        entries.append(Product(_source(cell, source, first=not entries), tuple(gates)))
    if tuple(gate for entry in entries for gate in entry.gates) != recurrent:
        raise OptionError(f"{owner}.products must name the recurrent gates {recurrent} in order")
    return tuple(entries) if entries[0].source is None else (Product(None, ()), *entries)


def _source(cell: Any, name: str, *, first: bool) -> str | None:
    fields = state_fields(cell.State)
    if name in fields[1:] or (name == fields[0] and not first):
        return name
    if callable(getattr(type(cell), name, None)):
        return name
    if first:
        return None
    raise OptionError(
        f"{type(cell).__name__}.products: {name!r} is neither a method {name}(self, x, h, state) "
        f"nor a field of the state ({', '.join(fields)})"
    )


def prefixes(chain: Sequence[Product]) -> list[tuple[str, ...]]:
    """The recurrent gates that are known before each product, and after the last."""
    found: list[tuple[str, ...]] = [()]
    for product in chain:
        found.append((*found[-1], *product.gates))
    return found


def make_types(cell: Any) -> None:
    """Make the types of gates that a cell's steps will look up."""
    for names in ((*cell.input_gates, *cell.raw), *prefixes(cell.chain)):
        gate_tuple(names)


def refuse_without_matrix(cell: Any, options: Iterable[str]) -> None:
    """Refuse options of the recurrent matrix where a cell has none.

    Raises:
        OptionError: the message names the option.
    """
    for name in options:
        if not cell.recurrent_gates and getattr(cell, name):
            raise OptionError(f"{name}: {spoken('cell', cell)} has no recurrent matrix")
