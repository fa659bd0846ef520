"""From a plain spec, ``{"name": ..., option: ...}``, to a registered part; never by import path."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from seqlab import registry
from seqlab.errors import ConfigError, OptionError, PluginError, did_you_mean
from seqlab.schema import NAMED, check_value, parameter_hints


def accepted_options(part: Any) -> dict[str, inspect.Parameter]:
    """The keyword options a class or function takes, its base classes' included.

    A class whose ``__init__`` ends in ``**options`` passes them on, so the options of the next
    class in its method resolution order count too; so do those in ``options_for_all`` of a base
    class, whatever ``__init__`` says. Annotations are resolved; one that names what only a type
    checker imports is ``Any``.
    """
    if not inspect.isclass(part):
        return _named_parameters(part)[0]
    found = _of_init(part)
    return {**found, **{n: p for n, p in _for_all(part).items() if n not in found}}


def options_left_out(cls: type, given: Iterable[str]) -> list[str]:
    """Those of the options given that a class takes though its own ``__init__`` does not say so."""
    asked = [name for name in given if name in getattr(cls, "options_for_all", ())]
    return [name for name in asked if name not in _of_init(cls)] if asked else []


def _of_init(part: type) -> dict[str, inspect.Parameter]:
    found: dict[str, inspect.Parameter] = {}
    for cls in part.__mro__:
        if "__init__" not in vars(cls) or cls is object:
            continue
        names, passes_on = _named_parameters(vars(cls)["__init__"])
        found = {**names, **found}
        if not passes_on:
            break
    found.pop("self", None)
    return found


def _for_all(part: type) -> dict[str, inspect.Parameter]:
    """The options that a base class has for every subclass (``options_for_all``), if any."""
    for cls in part.__mro__:
        if "options_for_all" in vars(cls):
            names = vars(cls)["options_for_all"]
            own = _named_parameters(vars(cls)["__init__"])[0] if names else {}
            return {name: own[name] for name in names}
    return {}


def _named_parameters(function: Any) -> tuple[dict[str, inspect.Parameter], bool]:
    parameters = inspect.signature(function).parameters
    hints = parameter_hints(function)
    named = {
        name: parameter.replace(annotation=hints.get(name, Any))
        for name, parameter in parameters.items()
        if parameter.kind in NAMED
    }
    passes_on = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return named, passes_on


def split_spec(kind: str, spec: Any, where: str = "") -> tuple[str, dict[str, Any]]:
    """The name and the options of a spec: a name alone, or a mapping with a key ``name``.

    Raises:
        OptionError: the spec is neither; ``where`` says which key of the config it is.
    """
    place = where or kind
    if isinstance(spec, str):
        return spec, {}
    if not isinstance(spec, Mapping):
        raise OptionError(
            f"{place}: expected a {kind}'s name or a mapping with 'name', got {spec!r}"
        )
    if not isinstance(spec.get("name"), str):
        raise OptionError(
            f"{place}: the key 'name' is missing in {dict(spec)!r}: which {kind}? "
            f"`seqlab list kind={kind}` knows them"
        )
    return spec["name"], {str(key): value for key, value in spec.items() if key != "name"}


def switched_parts(
    kind: str, node: Mapping[str, Any] | None, where: str, *, apart: Iterable[str] = ()
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The parts of a node whose keys switch them on: key, name and options of each.

    The key is the registered name, and its value a mapping of options; true stands for no options,
    null and false switch the part off. A callback's mapping may have a ``name``, and then any key.

    >>> node = {"early_stopping": {"patience": 3}, "other": None, "mine": {"name": "x"}}
    >>> list(switched_parts("callback", node, "callbacks"))
    [('callbacks.early_stopping', 'early_stopping', {'patience': 3}), ('callbacks.mine', 'x', {})]

    Args:
        kind: the parts' kind.
        node: the node of the config; None: nothing.
        where: its key.
        apart: keys of the node that are no parts.

    Raises:
        OptionError: a value is neither a mapping nor true, false or null.
    """
    for key, value in (node or {}).items():
        if key in apart or value is None or value is False:
            continue
        if value is not True and not isinstance(value, Mapping):
            raise OptionError(
                f"{where}.{key}: expected a mapping of options, true, false or null, got {value!r}"
            )
        options = {} if value is True else {str(option): v for option, v in value.items()}
        name = options.pop("name", key) if kind == "callback" else key
        yield f"{where}.{key}", str(name), options


def check_options(
    kind: str,
    name: str,
    options: Mapping[str, Any],
    *,
    given: int,
    where: str,
    complete: bool = False,
) -> dict[str, Any]:
    """The options of a registered part: names, types and bounds by its annotations.

    Args:
        kind: the part's kind, for messages and look-up.
        name: the registered name.
        options: what the spec gives.
        given: how many leading positional arguments the builder supplies itself.
        where: the config key, for messages.
        complete: add the defaults of those left out.

    Returns:
        The options, in the form that the annotations ask for.

    Raises:
        OptionError: an option is unknown (with the nearest right name), a required one missing,
            or a value does not fit.
    """
    accepted = accepted_options(registry.get(kind, name))
    open_names = dict(list(accepted.items())[given:])
    for key in options:
        if key not in open_names:
            raise unknown_option(kind, name, key, open_names, where)
    missing = [
        key
        for key, parameter in open_names.items()
        if parameter.default is inspect.Parameter.empty and key not in options
    ]
    if missing:
        raise OptionError(f"{where or kind}: {kind} '{name}' needs {', '.join(missing)}")
    prefix = f"{where}." if where else ""
    checked = {
        key: check_value(value, open_names[key].annotation, f"{prefix}{key}")
        for key, value in options.items()
    }
    if complete:
        return {key: checked.get(key, p.default) for key, p in open_names.items()}
    return checked


def unknown_option(
    kind: str, name: str, option: str, known: Iterable[str], where: str
) -> OptionError:
    """The error about an option that a part does not take."""
    return OptionError(
        f"{where or kind}: {kind} '{name}' has no option '{option}': {did_you_mean(option, known)}"
    )


def length_missing(name: str) -> ConfigError:
    """The error about a schedule that needs the length of the run, where it has none."""
    return ConfigError(
        f"scheduler '{name}' needs the length of the run; give trainer.max_epochs or "
        "trainer.max_steps"
    )


def construct(kind: str, spec: Any, *args: Any, where: str = "") -> Any:
    """Build the registered part a spec names, with ``args`` before its options.

    >>> construct("merge", "sum", 3, 3).output_size
    3

    Raises:
        UnknownNameError: no such part.
        OptionError: an option is unknown, missing or refused by the part.
    """
    name, options = split_spec(kind, spec, where)
    return build_part(kind, name, options, *args, where=where)


def build_part(
    kind: str, name: str, options: Mapping[str, Any], *args: Any, where: str = ""
) -> Any:
    """Build a registered part, with ``args`` before its options; an option may be ``name``.

    Raises:
        UnknownNameError: no such part.
        OptionError: an option is unknown, missing or refused by the part.
    """
    part = registry.get(kind, name)
    options = check_options(kind, name, options, given=len(args), where=where)
    try:
        inspect.signature(part).bind(*args, **options)
    except TypeError as error:
        raise PluginError(
            f"{where or kind}: {kind} '{name}' cannot be made: {error}; before its options it is "
            f"given {len(args)} values, as its base class is"
        ) from error
    try:
        return part(*args, **options)
    except OptionError as error:
        message = str(error)
        if where and not message.startswith(where):
            key = re.split(r"[.\[:]", message, maxsplit=1)[0]
            joint = "." if key in accepted_options(part) else ": "
            message = f"{where}{joint}{message}"
        raise OptionError(message) from error
