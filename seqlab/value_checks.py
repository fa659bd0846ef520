"""Plain values against type annotations: one value, and a mapping of options.

Public names are in ``seqlab.schema``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union

from seqlab.bounds import Range, Rule
from seqlab.errors import ConfigError, OptionError, did_you_mean, nearest

T = TypeVar("T")

_SIMPLE: dict[Any, str] = {int: "an int", float: "a number", bool: "true or false", str: "a string"}
_SEQUENCES: tuple[Any, ...] = (list, tuple, Sequence)
_MAPPINGS: tuple[Any, ...] = (dict, Mapping)
_LONGEST = 200


# -- one value ---------------------------------------------------------------------------------


def check_value(value: T, hint: Any, key: str) -> T:
    """The value in the form the annotation asks for.

    Ints pass as floats, lists as tuples, mappings as spec dataclasses (returned as plain dicts
    with all defaults filled in). A number must be finite. An annotation that says nothing about
    plain values (a callable, a tensor, a protocol) accepts everything: its owner checks it.

    Args:
        value: what a user gave.
        hint: a type, ``Annotated[type, Range(...) or Rule(...)]``, a ``Literal``, a union, a list
            or mapping of these, or a dataclass of options.
        key: the option's full name, for messages.

    >>> check_value(3, float, "trainer.max_seconds")
    3.0

    Raises:
        OptionError: the value does not fit; the message has the key, the expectation, the value.
    """
    hint = type(None) if hint is None else hint
    origin = typing.get_origin(hint) or hint
    check: Callable[[Any, Any, str], Any] | None = (
        _check_spec if dataclasses.is_dataclass(hint) else _CHECKS.get(origin)
    )
    checked: T = check(value, hint, key) if check else value
    return checked


def check_choice(value: Any, choices: Sequence[Any], key: str) -> Any:
    """The value, if it is one of the choices; for those that only a run knows.

    >>> check_choice("bash", ("bash", "zsh"), "shell")
    'bash'

    Raises:
        OptionError: it is none of them; the message has all, and the nearest.
    """
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return value
    names = {str(choice): choice for choice in choices}
    close = nearest(value, names) if isinstance(value, str) else None
    hint = f", did you mean {_spell(names[close])}?" if close else ""
    known = ", ".join(_spell(choice) for choice in choices)
    raise OptionError(f"{key}: expected one of {known}, got {_spell(value)}{hint}")


def describe(hint: Any) -> str:
    """What an annotation expects, in words.

    >>> from seqlab.schema import Count
    >>> describe(Count | None)
    'an int of at least 1 or null'
    """
    origin = typing.get_origin(hint) or hint
    if origin is Annotated:
        words = describe(hint.__origin__)
        for bound in _bounds(hint):
            words = bound.words(words)
        return words
    if origin in {Union, types.UnionType}:
        return " or ".join(dict.fromkeys(describe(part) for part in typing.get_args(hint)))
    if origin is Literal:
        return " or ".join(_spell(choice) for choice in typing.get_args(hint))
    known = {**_SIMPLE, None: "null", type(None): "null", **dict.fromkeys(_SEQUENCES, "a list")}
    return known.get(origin, "a mapping")


# -- a mapping of options ----------------------------------------------------------------------


def check_fields(value: Any, spec: Any, key: str) -> dict[str, Any]:
    """A mapping checked against a spec dataclass: keys, types, required fields, defaults.

    Raises:
        OptionError: a key is unknown (with the nearest right name), missing or has a wrong type.
    """
    _require_mapping(value, key)
    hints = typing.get_type_hints(spec, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(spec)}
    prefix = f"{key}." if key else ""
    for name in value:
        if name not in fields:
            raise OptionError(f"{prefix}{name}: unknown key, {did_you_mean(str(name), fields)}")
    checked = {}
    for name, field in fields.items():
        if name in value:
            checked[name] = check_value(value[name], hints[name], f"{prefix}{name}")
        else:
            checked[name] = _default(field, hints[name], f"{prefix}{name}")
    return checked


def with_defaults(value: Any, known: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A mapping's values over the defaults in ``known``; None gives the defaults.

    >>> with_defaults({"size": 3}, {"size": 64, "dropout": 0.0}, "embedding")
    {'size': 3, 'dropout': 0.0}

    Raises:
        OptionError: it is no mapping, or has a key that ``known`` has not.
    """
    given = {} if value is None else value
    _require_mapping(given, key)
    for name in given:
        if name not in known:
            raise OptionError(f"{key}.{name}: unknown key, {did_you_mean(str(name), known)}")
    return {**known, **given}


def _default(field: dataclasses.Field[Any], hint: Any, key: str) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    elif field.default is not dataclasses.MISSING:
        default = field.default
    else:
        raise OptionError(f"{key}: no value was given; give it as {key}=... on the command line")
    if dataclasses.is_dataclass(default) and not isinstance(default, type):
        default = dataclasses.asdict(default)
    return check_value(default, hint, key)


# -- checks by kind of annotation --------------------------------------------------------------


def _bounds(hint: Any) -> list[Any]:
    return [bound for bound in hint.__metadata__ if isinstance(bound, Range | Rule)]


def _check_spec(value: Any, hint: Any, key: str) -> Any:
    return value if isinstance(value, hint) else check_fields(value, hint, key)


def _check_annotated(value: Any, hint: Any, key: str) -> Any:
    try:
        checked = check_value(value, hint.__origin__, key)
    except ConfigError:
        if typing.get_origin(hint.__origin__) is None:
            _refuse(value, key, describe(hint))
        raise
    if not all(bound.accepts(checked) for bound in _bounds(hint)):
        _refuse(value, key, describe(hint))
    return checked


def _check_union(value: Any, hint: Any, key: str) -> Any:
    choices = typing.get_args(hint)
    named = {name: choice for choice in choices for name in tag(choice)}
    if isinstance(value, Mapping) and named:
        name = check_choice(value.get("name"), tuple(named), f"{key}.name")
        return check_fields(value, named[name], key)
    for choice in choices:
        if isinstance(value, Mapping) and dataclasses.is_dataclass(choice):
            return check_fields(value, choice, key)  # its message about a key inside says most
    exact = [choice for choice in choices if type(value) is getattr(choice, "__origin__", choice)]
    for choice in [*exact, *choices]:
        with contextlib.suppress(ConfigError):
            return check_value(value, choice, key)
    return _refuse(value, key, describe(hint))


def tag(hint: Any) -> tuple[str, ...]:
    """The names that choose this dataclass in a union: those of its field ``name``."""
    if not dataclasses.is_dataclass(hint):
        return ()
    name = typing.get_type_hints(hint).get("name")
    return typing.get_args(name) if typing.get_origin(name) is Literal else ()


def _check_literal(value: Any, hint: Any, key: str) -> Any:
    return check_choice(value, typing.get_args(hint), key)


def _check_simple(value: Any, hint: Any, key: str) -> Any:
    kinds = (int, float) if hint is float else (hint,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and hint is not bool):
        _refuse(value, key, _SIMPLE[hint])
    if hint is float and not _finite(value):
        _refuse(value, key, "a finite number")
    return hint(value)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int beyond every float
        return False


def _check_none(value: Any, _: Any, key: str) -> None:
    if value is not None:
        _refuse(value, key, "null")


def _check_sequence(value: Any, hint: Any, key: str) -> list[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        _refuse(value, key, "a list")
    inner = [part for part in typing.get_args(hint) if part is not Ellipsis] or [Any]
    if len(inner) > 1 and len(inner) != len(value):
        _refuse(value, key, f"a list of {len(inner)} values")
    kinds = inner if len(inner) > 1 else inner * len(value)
    return [check_value(v, kinds[i], f"{key}[{i}]") for i, v in enumerate(value)]


def _check_mapping(value: Any, hint: Any, key: str) -> dict[str, Any]:
    _require_mapping(value, key)
    inner = typing.get_args(hint)
    kind = inner[1] if len(inner) == 2 else Any
    return {str(name): check_value(item, kind, f"{key}.{name}") for name, item in value.items()}


def _require_mapping(value: Any, key: str) -> None:
    if not isinstance(value, Mapping):
        _refuse(value, key, "a mapping")


def _refuse(value: Any, key: str, expected: str) -> NoReturn:
    raise OptionError(f"{key or 'the config'}: expected {expected}, got {_spell(value)}")


def _spell(value: Any) -> str:
    if value is None:
        return "null"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


_CHECKS: dict[Any, Callable[[Any, Any, str], Any]] = {
    **dict.fromkeys(_SIMPLE, _check_simple),
    **dict.fromkeys(_SEQUENCES, _check_sequence),
    **dict.fromkeys(_MAPPINGS, _check_mapping),
    **dict.fromkeys((Union, types.UnionType), _check_union),
    Annotated: _check_annotated,
    Literal: _check_literal,
    type(None): _check_none,
}
