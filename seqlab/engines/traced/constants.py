"""What a cell's equations read beside their tensors: compiling makes constants of it.

Names are followed from ``update`` through the methods, functions and closures that it uses; the
values found are part of what compiled code is known by. So a number that changes later, or the
training flag, gives other code and never an old answer.
"""

from __future__ import annotations

import enum
import functools
import types
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqlab.cells.base import COUNT
from seqlab.cells.gated import GatedCell

#: Parameters that the base class applies outside ``update``.
OUTSIDE = frozenset({"weight_ih", "weight_hh", "weight_hr", "bias", "recurrent_bias", "norm_ih",
                     "norm_hh"})  # fmt: skip
#: Where the equations begin.
_STARTS = ("update", "modified")
#: Packages whose own globals do not change.
_FIXED = frozenset({"torch", "math", "cmath", "numpy", "builtins", "typing", "seqlab"})
#: Names that reach attributes which no name tells.
_DYNAMIC = frozenset({"getattr", "vars", "__dict__", "__getattribute__", "attrgetter"})
#: What every module has and no equation reads.
_TORCH = frozenset({*vars(nn.Module()), COUNT} - {"training"})
#: Options of every gated cell that serve its parameters; read only where they are named.
_OPTIONS = ("_initializer", "_regularizer", "_constraint", "_spec", "vectors")
_PLAIN = (int, str, bytes, complex, type(None), type(Ellipsis), type, enum.Enum, torch.dtype,
          torch.device, types.BuiltinFunctionType, types.ModuleType)  # fmt: skip
_NOTHING = object()
#: Bytes of a plain tensor or array up to which its values are looked at.
_LARGE = 512


class UnreadableError(Exception):
    """The equations read something whose changes cannot be seen; the message says what."""


def constants_of(cell: GatedCell) -> Hashable:
    """All that ``update`` reads beside gates, state, parameters and buffers, as it is now.

    Two equal answers mean that a new trace would give the code of the old one.

    Raises:
        UnreadableError: one of the values is opaque, such as a generator of random numbers.
    """
    return read_constants(cell)[0]


class Lookup(NamedTuple):
    """Where a name was looked up, and what stood there."""

    get: Callable[..., Any]
    name: str
    value: Any


def same(lookups: Iterable[Lookup]) -> bool:
    """Whether names still mean what they meant."""
    for get, name, value in lookups:  # noqa: SIM110  # in every call, and quicker than `all`
        if get(name, _NOTHING) is not value:
            return False
    return True


def read_constants(cell: GatedCell) -> tuple[Hashable, list[Lookup] | None]:
    """``constants_of``, and the look-ups as long as whose answers are the ``same`` it stays so.

    None where something was read that may change in itself. All this while nothing is set on the
    cell.
    """
    reader = _Reader(cell)
    own = vars(cell)
    names = reached_names(type(cell), product_sources(cell))
    if not _DYNAMIC.isdisjoint(names):
        rest = (name for name in own if name not in _TORCH and not name.endswith(_OPTIONS))
        names = (*names, *(name for name in rest if name not in names))
    found = tuple([(name, reader.attribute(name)) for name in names if name not in OUTSIDE])
    return found, reader.lookups if reader.settled else None


def product_sources(cell: GatedCell) -> tuple[str, ...]:
    """The methods and state fields that the cell's recurrent products multiply."""
    return tuple(product.source for product in cell.chain if product.source is not None)


@functools.lru_cache(maxsize=1024)
def reached_names(kind: type[GatedCell], sources: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The names that ``update``, the vectors of products and the methods they call look up."""
    found: dict[str, None] = {}
    pending = [*_STARTS, *sources]
    while pending:
        name = pending.pop()
        if name in found:
            continue
        found[name] = None
        for code in (code for part in _definitions(kind, name) for code in _codes_of(part)):
            pending += names_in(code)
    return tuple(sorted(found))


@functools.lru_cache(maxsize=4096)
def names_in(code: types.CodeType) -> tuple[str, ...]:
    """The names of globals and attributes in a function and in the functions inside it."""
    inner = (part for part in code.co_consts if isinstance(part, types.CodeType))
    return (*code.co_names, *(name for part in inner for name in names_in(part)))


def _definitions(kind: type, name: str) -> Iterator[Any]:
    """What the classes of a cell say under a name; torch's own say nothing of equations."""
    for klass in kind.__mro__:
        if name in vars(klass) and not klass.__module__.startswith("torch"):
            yield vars(klass)[name]


def _codes_of(part: Any) -> Iterator[types.CodeType]:
    part = getattr(part, "__func__", part)  # class and static methods
    for function in (part, getattr(part, "fget", None), getattr(part, "func", None)):
        if isinstance(function, types.FunctionType):
            yield function.__code__


def _is_fixed(module: str | None) -> bool:
    return (module or "").partition(".")[0] in _FIXED


@functools.lru_cache(maxsize=1024)
def _authors(kind: type) -> tuple[type, ...]:
    """The classes of a cell whose attributes may change: not torch's and this project's."""
    return tuple(klass for klass in kind.__mro__ if not _is_fixed(klass.__module__))


class _Reader:
    """Turns values into something that can be compared; each object is looked at once."""

    def __init__(self, cell: GatedCell) -> None:
        self.cell = cell
        self.seen: dict[int, int] = {}
        self.settled = True
        self.lookups: list[Lookup] = []

    def look(self, place: Mapping[str, Any], name: str) -> Any:
        """What stands under a name, or ``_NOTHING``; remembered, as it may change."""
        value = place.get(name, _NOTHING)
        self.lookups.append(Lookup(place.get, name, value))
        return value

    def attribute(self, name: str) -> Hashable:
        """What ``self.<name>`` depends on; tensors of the cell are no constants."""
        for place in (vars(self.cell), self.cell._modules):  # noqa: SLF001  # where torch keeps them
            if name in place:
                own = self.look(place, name) if _authors(type(self.cell)) else place[name]
                return self.value(own, name)
        found = [self.look(vars(k), name) for k in _authors(type(self.cell))]
        return tuple(self.value(part, name) for part in found if part is not _NOTHING)

    def value(self, value: Any, name: str) -> Hashable:
        """A value by its type and content."""
        kind = type(value)
        if kind is float:
            return kind, float.hex(value)
        if isinstance(value, _PLAIN):
            return kind, value
        if value is self.cell:
            return "self"
        if id(value) in self.seen:
            return "seen", self.seen[id(value)]
        self.seen[id(value)] = len(self.seen)
        return kind, self.content(value, name)

    def content(self, value: Any, name: str) -> Hashable:
        """What a value consists of."""
        kind = type(value)
        if kind is types.FunctionType and not value.__closure__ and _is_fixed(value.__module__):
            code: types.CodeType = value.__code__
            return code
        # a tuple's own parts cannot be set; what they are is looked at like all else
        plain = isinstance(value, tuple) and not hasattr(value, "__dict__")
        self.settled = self.settled and (plain or self.is_written(value))
        for kinds, read in _CONTENTS:
            if isinstance(value, kinds):
                return read(self, value, name)
        return self.array(value, name) if hasattr(value, "dtype") else self.object(value, name)

    def is_written(self, value: Any) -> bool:
        """Whether it is a function as it was written: nobody gave it other code or defaults since.

        Closures and defaults may hold what changes in itself.
        """
        if type(value) is not types.FunctionType:
            return False
        of = functools.partial(getattr, value)
        for name in ("__code__", "__defaults__", "__kwdefaults__"):
            self.lookups.append(Lookup(of, name, of(name)))
        return not (value.__closure__ or value.__defaults__ or value.__kwdefaults__)

    def parts(self, values: Iterable[Any], name: str) -> Hashable:
        """Several values in their order."""
        return tuple([self.value(part, name) for part in values])

    def mapping(self, values: Mapping[Any, Any], name: str) -> Hashable:
        """Keys and values in their order."""
        return tuple([(self.value(k, name), self.value(v, name)) for k, v in values.items()])

    def function(self, function: types.FunctionType, name: str) -> Hashable:
        """Its code, defaults and closure, and of its globals those that it names."""
        code, fixed = function.__code__, _is_fixed(function.__module__)
        free = [_content_of(cell) for cell in function.__closure__ or ()]
        if fixed:
            return code, self.parts(free, name)
        names, known = names_in(code), function.__globals__
        met = [(self.look(known, key), key) for key in names]
        read = [self.named(value, names, key) for value, key in met if value is not _NOTHING]
        rest = (function.__defaults__, function.__kwdefaults__, *free)
        return code, self.parts(rest, name), tuple(read)

    def named(self, value: Any, names: tuple[str, ...], name: str) -> Hashable:
        """A global; of a module the members that are named beside it."""
        if not isinstance(value, types.ModuleType):
            return self.value(value, name)
        if _is_fixed(value.__name__):
            return None
        members = [self.look(vars(value), key) for key in names]
        return self.parts([part for part in members if part is not _NOTHING], name)

    def module(self, module: nn.Module, name: str) -> Hashable:
        """Its training flag, plain attributes and submodules."""
        own = {key: part for key, part in vars(module).items() if key not in _TORCH}
        return self.mapping({**own, **module._modules}, name)  # noqa: SLF001  # with their names

    def array(self, value: Any, name: str) -> Hashable:
        """A plain tensor or array; parameters and buffers are no constants and are not asked."""
        advice = "register it as a buffer of the cell"
        if isinstance(value, Tensor) and value.requires_grad:
            raise UnreadableError(f"it reads `{name}`, which has gradients and is no parameter")
        if isinstance(value, Tensor) and value.device.type != "cpu":
            raise UnreadableError(f"it reads the plain tensor `{name}`; {advice}")
        if value.nbytes > _LARGE:
            raise UnreadableError(f"it reads the large array `{name}`; {advice}")
        return str(value.dtype), tuple(value.shape), repr(value.tolist())

    def object(self, value: Any, name: str) -> Hashable:
        """Any other object by its attributes."""
        if not hasattr(value, "__dict__"):
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            raise UnreadableError(f"it reads `{name}`, a {kind}, whose changes cannot be seen")
        return self.mapping(vars(value), name)


def _content_of(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


#: How values of a type are read; the first that fits.
_CONTENTS: tuple[tuple[Any, Callable[[_Reader, Any, str], Hashable]], ...] = (
    ((tuple, list), _Reader.parts),
    (dict, _Reader.mapping),
    ((set, frozenset), lambda r, v, name: frozenset(r.value(part, name) for part in v)),
    (types.FunctionType, _Reader.function),
    (types.MethodType, lambda r, v, name: r.parts((v.__func__, v.__self__), name)),
    ((staticmethod, classmethod), lambda r, v, name: r.value(v.__func__, name)),
    (property, lambda r, v, name: r.value(v.fget, name)),
    (functools.partial, lambda r, v, name: r.parts((v.func, v.args, v.keywords), name)),
    (nn.Module, _Reader.module),
    (Mapping, _Reader.mapping),
)
