"""From an option as a user writes it (a name, a mapping, an object) to something callable."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from seqlab import registry
from seqlab.construct import check_options, construct, split_spec
from seqlab.errors import OptionError, UnknownNameError

ElementwiseFunction = Callable[[Tensor], Tensor]
InPlaceFill = Callable[[Tensor], None]


def resolve_function(kind: str, option: str, spec: Any) -> Callable[..., Any]:
    """A function by registered name, by mapping with ``name`` and keywords, or as given.

    Args:
        kind: ``activation`` or ``initializer``.
        option: the option's name, for messages.
        spec: ``"tanh"``, ``{"name": "leaky_relu", "negative_slope": 0.1}`` or a function.

    Raises:
        OptionError: the spec is none of these, or its keywords do not fit.
    """
    if callable(spec):
        function: Callable[..., Any] = spec
        return function
    if not isinstance(spec, str | Mapping):
        raise OptionError(f"{option}: expected the name of an {kind} or a function, got {spec!r}")
    try:
        name, options = split_spec(kind, spec, option)
        function = registry.get(kind, name)
        options = check_options(kind, name, options, given=1, where=option)
    except UnknownNameError as error:
        raise OptionError(f"{option}: {error}") from error
    resolved: Callable[..., Any] = functools.partial(function, **options) if options else function
    return resolved


def resolve_activation(option: str, spec: Any) -> ElementwiseFunction:
    """A function ``[B, H] -> [B, H]``; None means linear, as in Keras.

    Raises:
        OptionError: as ``resolve_function``, or a registered one that changes the shape.
    """
    spec = "linear" if spec is None else spec
    function = resolve_function("activation", option, spec)
    if not callable(spec):
        try:
            shape = tuple(function(torch.zeros(2, 4)).shape)
        except (TypeError, ValueError, RuntimeError, IndexError) as error:
            raise OptionError(f"{option}: activation {spec!r} fails: {error}") from error
        if shape != (2, 4):
            raise OptionError(
                f"{option}: activation {spec!r} makes {shape} of (2, 4), and a cell needs the "
                "same shape"
            )
    return function


def plain_spec(spec: Any) -> Any:
    """An activation's spec in its shortest form: the bare name where there are no options.

    >>> plain_spec({"name": "tanh"}), plain_spec(None)
    ('tanh', 'linear')
    """
    if spec is None:
        return "linear"
    if isinstance(spec, Mapping) and set(spec) == {"name"}:
        return spec["name"]
    return spec


class Initializer:
    """An initializer with the option it was given for, which its errors name."""

    def __init__(self, option: str, fill: InPlaceFill) -> None:
        self.option, self.fill = option, fill

    def __call__(self, tensor: Tensor) -> None:
        """Fill a ``[fan_in, fan_out]`` tensor or a bias in place.

        Raises:
            OptionError: the function cannot fill this tensor.
        """
        try:
            self.fill(tensor)
        except (TypeError, ValueError, RuntimeError) as error:
            raise OptionError(f"{self.option}: {error}") from error


def resolve_initializer(option: str, spec: Any) -> Initializer:
    """A function that fills a ``[fan_in, fan_out]`` tensor (or a bias vector) in place."""
    return Initializer(option, resolve_function("initializer", option, spec))


def resolve_object(kind: str, option: str, spec: Any) -> Callable[[Tensor], Tensor] | None:
    """A regularizer or constraint: None, a name, a mapping with ``name``, or a callable."""
    if spec is None:
        return None
    if isinstance(spec, type):
        raise OptionError(f"{option}: expected an object, got the class {spec.__name__}: add ()")
    if callable(spec):
        given: Callable[[Tensor], Tensor] = spec
        return given
    if not isinstance(spec, str | Mapping):
        raise OptionError(f"{option}: expected the name of a {kind} or a function, got {spec!r}")
    try:
        part: Callable[[Tensor], Tensor] = construct(kind, spec, where=option)
    except UnknownNameError as error:
        raise OptionError(f"{option}: {error}") from error
    return part
