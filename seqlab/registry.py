"""One registry for every kind of part; names are known before any plugin is imported.

>>> import seqlab
>>> "lstm" in seqlab.available("cell")
True
>>> seqlab.get("cell", "lstm").__name__
'LSTMCell'
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar

from seqlab import plugins
from seqlab.errors import (
    DuplicateNameError,
    OptionError,
    PluginError,
    UnknownNameError,
    did_you_mean,
)

KINDS = (
    "cell",
    "wrapper",
    "head",
    "engine",
    "source",
    "format",
    "merge",
    "pooling",
    "attention",
    "activation",
    "initializer",
    "regularizer",
    "constraint",
    "modifier",
    "search",
    "metric",
    "transform",
    "tokenizer",
    "feature",
    "target",
    "optimizer",
    "schedule",
    "callback",
    "logger",
)

T = TypeVar("T")
_registered: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
_changes = dict.fromkeys(KINDS, 0)


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise UnknownNameError(f"unknown kind '{kind}': {did_you_mean(kind, KINDS)}")


def register(kind: str, name: str) -> Callable[[T], T]:
    """Register a part for this process; an installed plugin uses an entry point instead.

    Args:
        kind: one of ``seqlab.registry.KINDS``.
        name: what configs and the command line call it: letters, digits, ``_`` and ``-``.

    Returns:
        A decorator that returns its argument unchanged.

    Raises:
        DuplicateNameError: another part of that kind has the name; both owners are named.
        OptionError: the name is not a plain word, or the object is not callable.
    """
    _check_kind(kind)
    if not isinstance(name, str) or not name.replace("_", "").replace("-", "").isalnum():
        raise OptionError(f"a {kind}'s name is letters, digits, '_' and '-', not {name!r}")

    def decorate(part: T) -> T:
        if not callable(part):
            raise OptionError(f"{kind} '{name}' must be a class or function, not {part!r}")
        module = getattr(part, "__module__", "")
        target = f"{module}:{getattr(part, '__qualname__', '')}"
        declaration = plugins.declared(kind).get(name)
        if declaration and declaration.target != target:
            raise DuplicateNameError(
                f"{kind} '{name}' is declared by {declaration.distribution} "
                f"({declaration.target}) and registered again by "
                f"{plugins.distribution_of(module)} ({target}); choose another name"
            )
        known = _registered[kind].get(name)
        if known is not None and _target(known) != target:
            raise DuplicateNameError(
                f"{kind} '{name}' is registered by {plugins.distribution_of(known.__module__)} "
                f"({_target(known)}) and again by {plugins.distribution_of(module)} ({target}); "
                "choose another name"
            )
        _registered[kind][name] = part
        _changes[kind] += 1
        return part

    return decorate


def _target(part: Any) -> str:
    return f"{part.__module__}:{part.__qualname__}"


def unregister(kind: str, name: str) -> None:
    """Forget a part registered in this process; declared parts stay."""
    _check_kind(kind)
    _registered[kind].pop(name, None)
    _changes[kind] += 1


def changes(kind: str) -> int:
    """How often parts of a kind were registered or forgotten: a choice made before is old."""
    return _changes[kind]


def available(kind: str) -> list[str]:
    """The sorted names of a kind that can be asked for, without importing plugins' code."""
    _check_kind(kind)
    usable = [name for name, d in plugins.declared(kind).items() if d.problem is None]
    return sorted({*usable, *_registered[kind]})


def get(kind: str, name: str) -> Any:
    """The class or function registered under a name.

    Raises:
        UnknownNameError: nothing has that name; the message proposes the nearest one.
        PluginError: the plugin that declares it cannot be used; the message says why.
    """
    _check_kind(kind)
    if name in _registered[kind]:
        return _registered[kind][name]
    declaration = plugins.declared(kind).get(name)
    if declaration is None:
        if where := plugins.where_to_get(kind, name):
            raise UnknownNameError(f"{kind} '{name}' is not installed: {where}")
        raise UnknownNameError(
            f"unknown {kind} '{name}': {did_you_mean(name, available(kind))}; "
            "one from a plugin needs its distribution installed (pip install ...), "
            f"see `seqlab list kind={kind}`"
        )
    return _load(declaration)


@functools.cache
def _load(declaration: plugins.Declaration) -> Any:
    part = declaration.load()
    if not callable(part):
        raise PluginError(
            f"{declaration.kind} '{declaration.name}' of {declaration.distribution} is "
            f"{part!r}, not a class or function"
        )
    return part


def name_of(kind: str, part: Any) -> str:
    """The name under which a class is registered, for configs and bundles.

    Raises:
        UnknownNameError: the class is not registered under any name of that kind.
    """
    _check_kind(kind)
    for name, known in _registered[kind].items():
        if known is part:
            return name
    target = _target(part)
    usable = {n: d for n, d in plugins.declared(kind).items() if d.problem is None}
    for name, declaration in usable.items():
        if declaration.target == target:
            return name
    # under another path, and so only in the package that made it: no other is imported for this
    top = part.__module__.partition(".")[0]
    for name, declaration in usable.items():
        if re.split(r"[.:]", declaration.target)[0] == top and _is(declaration, part):
            return name
    raise UnknownNameError(f"{target} is not a registered {kind}; use seqlab.register")


def spoken(kind: str, part: object) -> str:
    """What an error calls an object of a kind: by its registered name, as configs do.

    >>> from seqlab.cells.gru import GRUCell
    >>> spoken("cell", GRUCell(2, 3))
    "cell 'gru'"

    A class that is not registered is called by its own name.
    """
    try:
        return f"{kind} '{name_of(kind, type(part))}'"
    except UnknownNameError:
        return type(part).__name__


def _is(declaration: plugins.Declaration, part: Any) -> bool:
    try:
        return _load(declaration) is part
    except PluginError:
        return False


def owner_of(kind: str, name: str) -> tuple[str, str]:
    """The distribution and version that provide a part ('__main__' for one of this process)."""
    declaration = plugins.declared(kind).get(name)
    if declaration:
        return declaration.distribution, declaration.version
    part = _registered[kind].get(name)
    if part is None:
        get(kind, name)
    owner = plugins.distribution_of(getattr(part, "__module__", "__main__"))
    return owner, plugins.version_of(owner)
