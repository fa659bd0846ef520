"""From a composed config to a plain, checked spec: the last place that sees OmegaConf."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from omegaconf import Container, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqlab import registry
from seqlab.config.before_import import (
    check_data_unread,
    check_encoder_unread,
    check_end,
    check_files,
    check_length,
    check_options_unread,
    check_part_unread,
    parts_of,
)
from seqlab.config.folders import group_options
from seqlab.config.hydra_errors import with_key
from seqlab.config.run_spec import CheckpointSpec, FeatureEmbeddingSpec, ProgressSpec, RunSpec
from seqlab.config.source_columns import check_source_columns
from seqlab.config.started_encoder import started_encoder
from seqlab.config.verb_specs import (
    CompareSpec,
    CrossvalidateSpec,
    EvaluateSpec,
    GenerateSpec,
    PredictSpec,
    ScoreSpec,
    SweepSpec,
)
from seqlab.construct import check_options, split_spec, switched_parts
from seqlab.errors import ConfigError, SeqlabError
from seqlab.schema import check_fields

#: ``resolve``, or ``seqlab.config.shown.shown``.
Reader = Callable[[DictConfig | Mapping[str, Any], str, Sequence[str]], dict[str, Any]]
MISSING = "???"
#: leading positional arguments that the builder supplies, by kind
GIVEN = {
    "cell": 1,
    "wrapper": 0,
    "head": 2,
    "source": 0,
    "optimizer": 1,
    "schedule": 1,
    "callback": 0,
    "logger": 1,
}
#: keys of ``callbacks`` that are settings of every run
_SETTINGS: dict[str, type] = {"checkpoint": CheckpointSpec, "progress": ProgressSpec}
_CHOICES = {"source": "name", "data": "features", "head": "name"}
_TRAINING = ("train", "compare", "crossvalidate", "sweep")
#: The keys of ``compare`` that its runs know nothing of.
COMPARISON_KEYS = tuple(field.name for field in dataclasses.fields(CompareSpec))
#: The keys of ``crossvalidate`` that its runs know nothing of.
CROSSVALIDATION_KEYS = tuple(field.name for field in dataclasses.fields(CrossvalidateSpec))
SPECS: dict[str, type] = {
    "train": RunSpec,
    "explain": RunSpec,
    "compare": RunSpec,
    "crossvalidate": RunSpec,
    "sweep": RunSpec,
    "rate": RunSpec,
    "evaluate": EvaluateSpec,
    "predict": PredictSpec,
    "score": ScoreSpec,
    "generate": GenerateSpec,
}


def resolve(
    config: DictConfig | Mapping[str, Any], verb: str = "train", words: Sequence[str] = ()
) -> dict[str, Any]:
    """The plain spec of a composed config, with every default filled in.

    Args:
        config: what Hydra composed (its own node ``hydra`` does not count), or a plain mapping.
        verb: one with a config, such as ``train``.
        words: the overrides that a job was composed with, which say more than what it starts from.

    Raises:
        ConfigError: a key is unknown, a value has a wrong type or is missing; the message has
            the full key and the nearest right name.
        SeqlabError: a part's name or options are wrong.
    """
    plain = plain_values(config)
    _require_choices(plain, verb)
    _require_values(plain, "")
    if SPECS[verb] is RunSpec:
        plain = dict(started_encoder(plain, words))
    spec = check_unread(plain, verb)
    if SPECS[verb] is RunSpec:
        _check_run(spec)
    if verb in _TRAINING:
        _check_switched(spec)
    if spec.get("source"):
        spec["source"] = check_part("source", spec["source"], "source")
    for optional in ("source", "search"):
        if optional in spec:
            spec[optional] = spec[optional] or None
    return spec


def run_config(config: DictConfig, apart: Sequence[str] = COMPARISON_KEYS) -> dict[str, Any]:
    """What a composed config of a verb with several runs says of a run alone.

    Args:
        config: what Hydra composed.
        apart: the verb's own keys.
    """
    return {key: value for key, value in plain_values(config).items() if key not in apart}


def comparison_settings(config: DictConfig) -> dict[str, Any]:
    """The keys of a composed config that say how contestants are compared, checked.

    Raises:
        ConfigError: a value does not fit.
    """
    given = plain_values(config)
    return check_fields({key: given[key] for key in COMPARISON_KEYS}, CompareSpec, "")


def crossvalidation_settings(config: DictConfig) -> dict[str, Any]:
    """The keys of a composed config that say how rows are divided into folds, checked.

    Raises:
        ConfigError: a value does not fit.
    """
    given = plain_values(config)
    return check_fields({key: given[key] for key in CROSSVALIDATION_KEYS}, CrossvalidateSpec, "")


def sweep_settings(config: DictConfig) -> dict[str, Any]:
    """The keys of a composed config that say how a sweep goes, checked.

    Raises:
        ConfigError: a value does not fit.
    """
    given = plain_values(config)
    return check_fields({key: given[key] for key in ("sweep", "resume")}, SweepSpec, "")


def completed(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a run of an earlier version, with the defaults of the keys that are new.

    Raises:
        ConfigError: a key or a value of it is not of this version.
    """
    whole = check_fields(spec, RunSpec, "")
    _complete_callbacks(whole["callbacks"])
    return {**whole, "data": _check_data(whole["data"])}


def _complete_callbacks(callbacks: dict[str, Any]) -> None:
    for key, settings in _SETTINGS.items():
        callbacks[key] = check_fields(callbacks.get(key, {}), settings, f"callbacks.{key}")


def check_unread(plain: Mapping[str, Any], verb: str, *, files: bool = True) -> dict[str, Any]:
    """The spec, with all of it checked that needs no import.

    Args:
        plain: what ``plain_values`` gives; parts without a name are passed over.
        verb: as for ``resolve``.
        files: whether files that options name must be there.

    Raises:
        SeqlabError: as ``resolve``.
    """
    spec = check_fields(plain, SPECS[verb], "")
    if verb in _TRAINING:
        check_end(spec["trainer"])
    if "data" in spec and (files or "features" in spec["data"]):
        check_data_unread(spec["data"], files=files)
    for kind, part, where in parts_of(spec):
        if _get(part, "name") != MISSING:
            check_part_unread(kind, part, where, GIVEN[kind], files=files)
    if verb in _TRAINING:
        check_length(spec["trainer"], _get(spec["scheduler"], "name"))
    if SPECS[verb] is RunSpec:
        check_encoder_unread(spec["encoder"])
        _complete_callbacks(spec["callbacks"])
        for kind, name, options, key in switched_of(spec):
            check_options_unread(
                kind, name, options, where=key, given=GIVEN[kind], name_key=key, files=files
            )
    return spec


def _check_run(spec: dict[str, Any]) -> None:
    """Check the parts of a run, in place."""
    source = check_part("source", spec["source"], "source")
    check_source_columns(source, spec["data"])
    spec["data"] = _check_data(spec["data"])
    encoder = spec["encoder"]
    features = encoder["embedding"]["features"]
    for name, options in features.items():
        features[name] = _given_embedding(options, f"encoder.embedding.features.{name}")
    encoder["cell"] = check_part("cell", encoder["cell"], "encoder.cell")
    encoder["wrappers"] = [
        check_part("wrapper", wrapper, f"encoder.wrappers[{index}]")
        for index, wrapper in enumerate(encoder["wrappers"])
    ]
    for kind, key in (("head", "head"), ("optimizer", "optimizer"), ("schedule", "scheduler")):
        spec[key] = check_part(kind, spec[key], key)


def _given_embedding(options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What is said of one feature's embedding; the rest depends on the data."""
    check_files(options["vectors"], f"{where}.vectors")
    if options["words"] == "all" and options["vectors"] is None:
        raise ConfigError(f"{where}.words: all are those of a file; give {where}.vectors")
    if options["max_words"] is not None and options["words"] != "all":
        raise ConfigError(f"{where}.max_words: it limits {where}.words=all; leave it out")
    usual = dataclasses.asdict(FeatureEmbeddingSpec())
    return {key: value for key, value in options.items() if value != usual[key]}


def _check_switched(spec: Mapping[str, Any]) -> None:
    """Check the options of what brings Lightning, which takes long to import."""
    for kind, name, options, where in switched_of(spec):
        check_options(kind, name, options, given=GIVEN[kind], where=where)


def switched_of(spec: Mapping[str, Any]) -> list[tuple[str, str, dict[str, Any], str]]:
    """The callbacks and loggers of a run's spec: kind, name, options, key."""
    nodes = (("callback", "callbacks", tuple(_SETTINGS)), ("logger", "logger", ()))
    return [
        (kind, name, options, key)
        for kind, node, apart in nodes
        for key, name, options in switched_parts(kind, spec[node], node, apart=apart)
    ]


def check_part(kind: str, spec: Any, where: str) -> dict[str, Any]:
    """A part's spec with its name, options and the options' types checked.

    Raises:
        ConfigError: an option has a wrong type, by the annotations of the registered class.
        SeqlabError: the name is unknown, an option is unknown or missing.
    """
    name, options = split_spec(kind, spec, where)
    try:
        registry.get(kind, name)
    except SeqlabError as error:
        raise type(error)(f"{where}.name: {error}") from error
    return {
        "name": name,
        **check_options(kind, name, options, given=GIVEN[kind], where=where),
    }


def plain_values(config: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """The values of a config without Hydra's own node; ``MISSING`` where there is none.

    Raises:
        ConfigError: one cannot be worked out.
    """
    if not isinstance(config, DictConfig):
        return {str(key): value for key, value in config.items()}
    try:
        return {
            str(key): OmegaConf.to_container(value, resolve=True)
            if isinstance(value, Container)
            else (MISSING if OmegaConf.is_missing(config, str(key)) else config[key])
            for key, value in config.items_ex(resolve=False)
            if key != "hydra"
        }
    except OmegaConfBaseException as error:
        raise ConfigError(with_key(error)) from error


def _require_choices(plain: Mapping[str, Any], verb: str) -> None:
    """Say how to give what only the user can choose, before any type is checked."""
    if SPECS[verb] is not RunSpec:
        if plain.get("bundle", MISSING) in (MISSING, None):
            raise ConfigError("bundle: no value was given; give the folder as bundle=DIR")
        return
    missing = [
        group for group, key in _CHOICES.items() if _get(plain.get(group), key) in {MISSING, None}
    ]
    if missing:
        raise ConfigError(
            f"nothing was chosen for {', '.join(missing)}: give experiment=NAME "
            f"(known: {', '.join(group_options('experiment')) or 'none; see seqlab-datasets'}), "
            f"or {' '.join(f'{group}=NAME' for group in _CHOICES)}"
        )


def _require_values(node: Any, key: str) -> None:
    """Refuse a '???' anywhere, and what no JSON file can keep, by its full key."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            where = f"{key}.{name}" if key else str(name)
            _require_plain(name, where)
            _require_values(value, where)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            _require_values(value, f"{key}.{index}")
    elif isinstance(node, str) and node == MISSING:
        raise ConfigError(f"{key}: no value was given; give it as {key}=... on the command line")
    else:
        _require_plain(node, key)


def _require_plain(value: Any, key: str) -> None:
    """Refuse a scalar that no JSON file can keep: the run's folder and the bundle hold it so."""
    if not isinstance(value, str | int | float | None):
        raise ConfigError(
            f"{key}: expected text, a number, true, false, null, a list or a mapping, got "
            f"{type(value).__name__}"
        )
    try:
        json.dumps(value, allow_nan=False)
    except ValueError as error:  # nan, inf, or more digits than Python writes
        got = f"one of {value.bit_length():,} bits" if isinstance(value, int) else value
        raise ConfigError(f"{key}: expected a finite number, got {got}") from error


def _get(node: Any, key: str) -> Any:
    value = node.get(key) if isinstance(node, Mapping) else None
    return value if isinstance(value, str | None) else "given"


def _check_data(data: Mapping[str, Any]) -> dict[str, Any]:
    from seqlab.data.data_spec import DataSpec

    return DataSpec.from_mapping(data).to_dict()
