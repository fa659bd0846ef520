"""Checks plain values (from YAML or the command line) against type annotations."""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NoReturn, Union

from seqlab.errors import ConfigError, did_you_mean, nearest

_SIMPLE: dict[Any, str] = {int: "an int", float: "a number", bool: "true or false", str: "a string"}
_SEQUENCES: tuple[Any, ...] = (list, tuple, Sequence)
_MAPPINGS: tuple[Any, ...] = (dict, Mapping)


def check_value(value: Any, hint: Any, key: str) -> Any:
    """The value in the form the annotation asks for.

    Ints pass as floats, lists as tuples, mappings as spec dataclasses (returned as plain dicts
    with all defaults filled in). An annotation that says nothing about plain values (a callable,
    a tensor, a protocol) accepts everything: its owner checks it.

    >>> check_value(3, float, "trainer.max_seconds")
    3.0

    Raises:
        ConfigError: the value does not fit; the message has the key, the expectation, the value.
    """
    hint = type(None) if hint is None else hint
    origin = typing.get_origin(hint) or hint
    if dataclasses.is_dataclass(hint):
        return check_fields(value, hint, key)
    check = _CHECKS.get(origin)
    return check(value, hint, key) if check else value


def check_fields(value: Any, spec: Any, key: str) -> dict[str, Any]:
    """A mapping checked against a spec dataclass: keys, types, required fields, defaults.

    Raises:
        ConfigError: a key is unknown (with the nearest right name), missing or has a wrong type.
    """
    _require_mapping(value, key)
    hints = typing.get_type_hints(spec)
    fields = {field.name: field for field in dataclasses.fields(spec)}
    prefix = f"{key}." if key else ""
    for name in value:
        if name not in fields:
            raise ConfigError(f"{prefix}{name}: unknown key, {did_you_mean(str(name), fields)}")
    checked = {}
    for name, field in fields.items():
        if name in value:
            checked[name] = check_value(value[name], hints[name], f"{prefix}{name}")
        else:
            checked[name] = _default(field, hints[name], f"{prefix}{name}")
    return checked


def describe(hint: Any) -> str:
    """What an annotation expects, in words.

    >>> describe(int | None)
    'an int or null'
    """
    origin = typing.get_origin(hint)
    if origin in {Union, types.UnionType}:
        return " or ".join(dict.fromkeys(describe(part) for part in typing.get_args(hint)))
    if origin is Literal:
        return " or ".join(_spell(choice) for choice in typing.get_args(hint))
    if hint is None or hint is type(None):
        return "null"
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if hint in _SEQUENCES or origin in _SEQUENCES:
        return "a list"
    return "a mapping"


def _default(field: dataclasses.Field[Any], hint: Any, key: str) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    elif field.default is not dataclasses.MISSING:
        default = field.default
    else:
        raise ConfigError(f"{key}: no value was given; give it as {key}=... on the command line")
    if dataclasses.is_dataclass(default) and not isinstance(default, type):
        default = dataclasses.asdict(default)
    return check_value(default, hint, key)


def _check_union(value: Any, hint: Any, key: str) -> Any:
    choices = typing.get_args(hint)
    named = {name: choice for choice in choices for name in _tag(choice)}
    if isinstance(value, Mapping) and named:
        name = _check_choice(value.get("name"), tuple(named), f"{key}.name")
        return check_fields(value, named[name], key)
    for choice in choices:
        if isinstance(value, Mapping) and dataclasses.is_dataclass(choice):
            return check_fields(value, choice, key)  # its message about a key inside says most
    exact = [choice for choice in choices if type(value) is choice]
    for choice in [*exact, *choices]:
        with contextlib.suppress(ConfigError):
            return check_value(value, choice, key)
    return _refuse(value, key, describe(hint))


def _tag(hint: Any) -> tuple[str, ...]:
    """The names that choose this dataclass in a union: those of its field ``name``."""
    if not dataclasses.is_dataclass(hint):
        return ()
    name = typing.get_type_hints(hint).get("name")
    return typing.get_args(name) if typing.get_origin(name) is Literal else ()


def _check_literal(value: Any, hint: Any, key: str) -> Any:
    return _check_choice(value, typing.get_args(hint), key)


def _check_choice(value: Any, choices: Sequence[Any], key: str) -> Any:
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return value
    names = {str(choice): choice for choice in choices}
    close = nearest(value, names) if isinstance(value, str) else None
    hint = f", did you mean {_spell(names[close])}?" if close else ""
    known = ", ".join(_spell(choice) for choice in choices)
    raise ConfigError(f"{key}: expected one of {known}, got {_spell(value)}{hint}")


def _check_simple(value: Any, hint: Any, key: str) -> Any:
    kinds = (int, float) if hint is float else (hint,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and hint is not bool):
        _refuse(value, key, _SIMPLE[hint])
    return hint(value)


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
    raise ConfigError(f"{key or 'the config'}: expected {expected}, got {_spell(value)}")


def _spell(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else repr(value)


_CHECKS: dict[Any, Callable[[Any, Any, str], Any]] = {
    **dict.fromkeys(_SIMPLE, _check_simple),
    **dict.fromkeys(_SEQUENCES, _check_sequence),
    **dict.fromkeys(_MAPPINGS, _check_mapping),
    **dict.fromkeys((Union, types.UnionType), _check_union),
    Literal: _check_literal,
    type(None): _check_none,
}
