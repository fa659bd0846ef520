"""What can be told of a spec before torch, Lightning and datasets are imported, which takes long.

``seqlab.config.resolve`` checks everything again, and more, once the parts are imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqlab import plugins, registry
from seqlab.construct import length_missing, split_spec, unknown_option
from seqlab.data.batching import GivenData, feature_defaults, given_targets
from seqlab.errors import ConfigError, DataError, SeqlabError, nearest
from seqlab.schema import check_fields, check_value
from seqlab.source_signatures import Option, class_constant, options_of

#: Kinds of parts that options of other parts hold, by name or as a mapping with a name. Options
#: end with the kind, but for these.
_INNER = {
    *("format", "tokenizer", "pooling", "attention", "activation", "engine"),
    *("initializer", "regularizer", "constraint", "modifier"),
}
_RENAMED = {"merge_mode": "merge", "cell": "cell"}
_SEVERAL = {"metrics": "metric", "wrappers": "wrapper"}
#: Options of every part of a kind, also where its ``__init__`` does not say so.
_FOR_ALL = {"cell": ("dropout", "zoneout")}
#: Those whose options are looked at too: the leading arguments that their builder gives.
_WITH_OPTIONS = {"tokenizer": 1, "cell": 1, "wrapper": 0, "head": 2}


def check_part_unread(kind: str, spec: Any, where: str, given: int, *, files: bool = True) -> None:
    """Refuse a wrong name or option of a part whose code is not imported yet.

    Args:
        kind: the part's kind.
        spec: its name, or a mapping with ``name`` and options.
        where: the config key, for messages.
        given: how many leading arguments the builder supplies itself.
        files: whether files that options name must be there.

    Raises:
        SeqlabError: the name or an option is unknown, or a value does not fit.
        DataError: a file that an option annotated ``Path`` or ``Paths`` names is not there.
    """
    name, values = split_spec(kind, spec, where)
    check_options_unread(kind, name, values, where=where, given=given, files=files)


def check_options_unread(
    kind: str, name: str, values: Mapping[str, Any], *, where: str, given: int, name_key: str = "",
    files: bool = True,
) -> None:  # fmt: skip
    """As ``check_part_unread``, of a part whose name and options are given apart.

    Args:
        kind: the part's kind.
        name: the part's name.
        values: its options.
        where: the config key, for messages.
        given: how many leading arguments the builder supplies itself.
        name_key: the key of the name, where it is not ``WHERE.name``.
        files: whether files that options name must be there.

    Raises:
        SeqlabError: as ``check_part_unread``.
        DataError: as ``check_part_unread``.
    """
    declaration = plugins.declared(kind).get(name)
    _check_name(kind, name, name_key or f"{where}.name")
    known = options_of(declaration.target) if declaration else None
    if known is None:
        return
    options = dict(list(known.items())[given:])
    names = (*options, *_FOR_ALL.get(kind, ()))
    for key in values:
        if key not in names:
            raise unknown_option(kind, name, key, set(names), where)
    for key, value in values.items():
        if key not in options:
            continue
        check_value(value, options[key].hint, f"{where}.{key}")
        if files and _names_files(options[key]):
            check_files(value, f"{where}.{key}")
        _check_inner(key, value, f"{where}.{key}", files=files)


def check_encoder_unread(encoder: Mapping[str, Any]) -> None:
    """Refuse what is wrong in an encoder beside its cell and its wrappers.

    Raises:
        SeqlabError: the name or an option of a part is unknown, or a value does not fit.
    """
    features = (encoder.get("embedding") or {}).get("features") or {}
    nodes = {
        "encoder": {"engine": encoder.get("engine")},
        "encoder.input_layer": encoder.get("input_layer") or {},
        **{f"encoder.embedding.features.{name}": node for name, node in features.items()},
    }
    for where, node in nodes.items():
        for key, value in node.items():
            _check_inner(key, value, f"{where}.{key}", files=False)


def _check_inner(key: str, value: Any, where: str, *, files: bool) -> None:
    """Refuse a wrong name or option of the parts that an option holds."""
    for kind, spec, place in _inner_parts(key, value, where):
        options = dict(spec) if isinstance(spec, Mapping) else {"name": spec}
        name = options.pop("name", None)
        if not isinstance(name, str) or (kind, name) == ("engine", "auto"):
            continue
        if kind in _WITH_OPTIONS:
            given = _WITH_OPTIONS[kind]
            check_options_unread(kind, name, options, where=place, given=given, files=files)
        else:
            _check_name(kind, name, place)


def _inner_parts(key: str, value: Any, where: str) -> Iterator[tuple[str, Any, str]]:
    """The parts that an option holds, as far as its name tells: kind, spec, key."""
    kind = key.rpartition("_")[2]
    if key in _RENAMED or kind in _INNER:
        yield _RENAMED.get(key, kind), value, where
    elif key in _SEVERAL and isinstance(value, list):
        for place, spec in enumerate(value):
            yield _SEVERAL[key], spec, f"{where}[{place}]"
    elif key == "heads" and isinstance(value, Mapping):
        yield from (("head", spec, f"{where}.{name}") for name, spec in value.items())
    elif key == "decoder" and isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _inner_parts(str(name), inner, f"{where}.{name}")


def _check_name(kind: str, name: str, key: str) -> None:
    if name not in registry.available(kind):
        try:
            registry.get(kind, name)
        except SeqlabError as error:
            raise type(error)(f"{key}: {error}") from error


def check_data_unread(data: Any, *, files: bool = True) -> None:
    """Refuse wrong keys and options of ``data`` whose parts are not imported yet.

    Args:
        data: the node.
        files: whether files that options name must be there.

    Raises:
        SeqlabError: a key or an option is unknown, or a value does not fit.
    """
    given = check_fields(data, GivenData, "data")
    columns = [
        ("feature", {**feature_defaults(name), **spec}, f"data.features.{name}", 2)
        for name, spec in given["features"].items()
        if isinstance(spec, Mapping)
    ]
    for place, spec in enumerate(given["transforms"]):
        check_part_unread("transform", spec, f"data.transforms[{place}]", 0, files=files)
    targets = [
        ("target", dict(spec), key, 1)
        for spec, key in given_targets(given["target"], given["targets"]).values()
        if isinstance(spec, Mapping)
    ]
    for kind, spec, where, first in [*columns, *targets]:
        name = spec.pop("kind", None)
        spec.pop("column", None)
        if isinstance(name, str):
            check_options_unread(
                kind, name, spec, where=where, given=first, name_key=f"{where}.kind", files=files
            )


def check_end(trainer: Mapping[str, Any]) -> None:
    """Refuse a run without an end.

    Raises:
        ConfigError: neither epochs nor steps nor seconds are limited.
    """
    limits = (trainer["max_epochs"], trainer["max_seconds"])
    if limits == (None, None) and trainer["max_steps"] < 0:
        raise ConfigError(
            "trainer: give one of max_epochs, max_steps or max_seconds, or training has no end"
        )


def check_length(trainer: Mapping[str, Any], name: Any) -> None:
    """Refuse a schedule that needs the length of a run which has none, as far as its source says.

    Raises:
        ConfigError: it is so.
    """
    declaration = plugins.declared("schedule").get(name) if isinstance(name, str) else None
    known = trainer["max_epochs"] is not None or trainer["max_steps"] >= 0
    if declaration and not known and class_constant(declaration.target, "needs_length"):
        raise length_missing(str(name))


def check_files(paths: Any, key: str) -> None:
    """Refuse paths of files that are not there.

    Raises:
        DataError: there is no such file; the nearest name in its folder is proposed.
    """
    for path in [paths] if isinstance(paths, str) else paths or ():
        if not isinstance(path, str) or Path(path).expanduser().is_file():
            continue
        file = Path(path).expanduser()
        if file.is_dir():
            raise DataError(f"{path}: is a folder, not a file ({key})")
        raise DataError(f"{path}: no such file ({key}){_nearest_file(file)}")


def _nearest_file(file: Path) -> str:
    """Which other file may be meant, as the end of a sentence."""
    if not file.parent.is_dir():
        return f"; the folder {file.parent} is not there either"
    close = nearest(file.name, [other.name for other in file.parent.iterdir()])
    return f", did you mean '{file.with_name(close)}'?" if close else ""


def _names_files(option: Option) -> bool:
    return bool(set(re.findall(r"\w+", option.annotation)) & {"Path", "Paths"})


def parts_of(spec: Mapping[str, Any]) -> Sequence[tuple[str, Any, str]]:
    """The parts of a run's or an evaluation's spec: kind, spec, key."""
    encoder = spec.get("encoder") or {}
    found = [("source", spec["source"], "source")] if spec.get("source") else []
    if "cell" in encoder:
        found.append(("cell", encoder["cell"], "encoder.cell"))
    wrappers = encoder.get("wrappers") or ()
    found += [("wrapper", w, f"encoder.wrappers[{i}]") for i, w in enumerate(wrappers)]
    others = (("head", "head"), ("optimizer", "optimizer"), ("schedule", "scheduler"))
    return [*found, *((kind, spec[key], key) for kind, key in others if key in spec)]
