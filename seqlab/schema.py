"""The one checker of options: plain values against type annotations, bounds included.

Configs, data specs, parts and plugins say what they take by annotations alone. The bounds below
are annotations too:

>>> from seqlab.schema import Count, Share, check_value
>>> check_value(3, Count, "width")
3
>>> check_value(1.5, Share, "dropout")
Traceback (most recent call last):
    ...
seqlab.errors.OptionError: dropout: expected a number from 0 to 1, got 1.5
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from seqlab.bounds import (
    Count,
    Flag,
    Fraction,
    Name,
    NonNegative,
    Part,
    Positive,
    Range,
    Rule,
    Share,
    Whole,
)
from seqlab.errors import OptionError
from seqlab.value_checks import (
    check_choice,
    check_fields,
    check_value,
    describe,
    tag,
    with_defaults,
)

__all__ = [
    "NAMED", "Count", "Flag", "Fraction", "Name", "NonNegative", "Part", "Positive", "Range",
    "Rule", "Share", "Whole", "check_choice", "check_fields", "check_order", "check_value",
    "checked", "describe", "parameter_hints", "read", "with_defaults",
]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S")

#: The kinds of parameters that are options.
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def check_order(*, strict: bool = False, **two: float) -> None:
    """Two options of which the first may not be above the second.

    Args:
        strict: nor equal to it.
        two: the options by their names, the smaller one first.

    >>> check_order(min_value=2.0, max_value=1.0)
    Traceback (most recent call last):
        ...
    seqlab.errors.OptionError: min_value: expected at most max_value=1.0, got 2.0

    Raises:
        OptionError: they stand the other way round.
    """
    (low, least), (high, most) = two.items()
    if least > most or (strict and least == most):
        relation = "less than" if strict else "at most"
        raise OptionError(f"{low}: expected {relation} {high}={most}, got {least}")


def checked(function: F) -> F:
    """A function, or ``__init__``, that checks its arguments against its own annotations.

    So a bound stands once, in the signature, and holds for configs and for calls from Python.

    >>> @checked
    ... def cut(text: str, most: Count = 2) -> str:
    ...     return text[:most]
    >>> cut("abc", most=0)
    Traceback (most recent call last):
        ...
    seqlab.errors.OptionError: most: expected an int of at least 1, got 0
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # which says it in Python's own words
        hints = parameter_hints(function)
        for name, value in given.arguments.items():
            given.arguments[name] = check_value(value, hints.get(name, Any), name)
        return function(*given.args, **given.kwargs)

    return cast("F", call)


@functools.cache
def parameter_hints(function: Callable[..., Any]) -> Mapping[str, Any]:
    """The annotations of a function's named parameters, resolved.

    Those of ``*args`` and ``**kwargs`` are left out, and all where one names what only a type
    checker imports.
    """
    named = {p.name for p in inspect.signature(function).parameters.values() if p.kind in NAMED}
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}
    return {name: hint for name, hint in hints.items() if name in named}


def read(spec: type[S], value: Any, key: str) -> S:
    """A spec dataclass from a mapping, checked, with the dataclasses inside it.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Beam:
    ...     width: Count = 4
    >>> read(Beam, {"width": 2}, "search").width
    2

    Raises:
        OptionError: as ``check_fields``.
    """
    made: S = _instance(spec, check_fields(value, spec, key))
    return made


def _instance(hint: Any, value: Any) -> Any:
    """A checked plain value with its mappings as the dataclasses that the annotation names."""
    choices = typing.get_args(hint) or (hint,)
    if isinstance(value, Mapping):
        specs = [choice for choice in choices if dataclasses.is_dataclass(choice)]
        named = [spec for spec in specs if value.get("name") in tag(spec)]
        for spec in (named or specs)[:1]:
            hints = typing.get_type_hints(spec, include_extras=True)
            return spec(**{k: _instance(hints[k], v) for k, v in value.items()})  # type: ignore[operator]
        inner = [part for choice in choices for part in typing.get_args(choice)[1:]] or choices[1:]
        return {k: _instance(inner[0], v) for k, v in value.items()} if inner else value
    if isinstance(value, list) and choices:
        return [_instance(choices[0], item) for item in value]
    return value
