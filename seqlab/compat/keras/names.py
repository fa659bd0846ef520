"""Between an option as Keras writes it and as seqlab does; names only, never import paths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from seqlab import registry
from seqlab.errors import OptionError

#: What Keras calls by more than one name.
_ALIASES = {
    "initializer": {
        "zero": "zeros",
        "one": "ones",
        "normal": "random_normal",
        "uniform": "random_uniform",
        "orthogonal_initializer": "orthogonal",
        "identity_initializer": "identity",
    },
    "regularizer": {"orthogonal_regularizer": "orthogonal", "l1l2": "l1_l2"},
    "constraint": {},
    "activation": {},
}

#: Class names that are not the registered name in camel case.
_CLASSES = {
    ("regularizer", "l1"): "L1",
    ("regularizer", "l2"): "L2",
    ("regularizer", "l1_l2"): "L1L2",
    ("regularizer", "orthogonal"): "OrthogonalRegularizer",
}

#: Keys of an initializer's config that say nothing when they are null.
_EMPTY = ("seed", "input_axes", "output_axes")


def snake_case(name: str) -> str:
    """``GlorotUniform`` to ``glorot_uniform``, as Keras names its files' groups too.

    >>> snake_case("GlorotUniform"), snake_case("GRU"), snake_case("SimpleRNN")
    ('glorot_uniform', 'gru', 'simple_rnn')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _registered(kind: str, name: str) -> str:
    if name in registry.available(kind):
        return name
    lowered = snake_case(name)
    return _ALIASES[kind].get(lowered, lowered)


def to_seqlab(kind: str, option: str, value: Any) -> Any:
    """An option's value as seqlab's cells take it.

    Args:
        kind: ``activation``, ``initializer``, ``regularizer`` or ``constraint``.
        option: the option's name, for messages.
        value: a name in either style, a mapping as Keras serializes it, a mapping with ``name``,
            a function or an object.

    Raises:
        OptionError: a mapping of another form.
    """
    if isinstance(value, str):
        return _registered(kind, value)
    if not isinstance(value, Mapping) or "name" in value:
        return value
    name, config = value.get("class_name"), value.get("config", {})
    if name == "function" and isinstance(config, str):
        return _registered(kind, config)
    if not isinstance(name, str) or not isinstance(config, Mapping):
        raise OptionError(f"{option}: expected a mapping with class_name and config, got {value!r}")
    options = {k: v for k, v in config.items() if not (k in _EMPTY and v is None)}
    if kind == "initializer" and name == "Constant" and isinstance(options.get("value"), Mapping):
        raise OptionError(f"{option}.value: expected a number, got a mapping")
    return {"name": _registered(kind, name), **options}


def to_keras(kind: str, option: str, value: Any) -> Any:
    """An option's value as Keras's ``get_config`` writes it.

    Raises:
        OptionError: it is a function or object, which has no name to write.
    """
    if value is None and kind != "activation":
        return None
    if value is None or isinstance(value, str):
        name, options = _registered(kind, value or "linear"), {}
    elif isinstance(value, Mapping):
        spec = to_seqlab(kind, option, value)
        name, options = spec["name"], {k: v for k, v in spec.items() if k != "name"}
    else:
        raise OptionError(
            f"get_config: {option} is {value!r}, which has no registered name; register it with "
            f"seqlab.register('{kind}', NAME) and give the name"
        )
    if kind == "activation":
        return {"name": name, **options} if options else name
    camel = "".join(part.capitalize() for part in name.split("_"))
    return {
        "module": f"keras.{kind}s",
        "class_name": _CLASSES.get((kind, name), camel),
        "config": options,
        "registered_name": None,
    }
