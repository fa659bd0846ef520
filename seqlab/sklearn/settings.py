"""The spec of a run, from the parameters of an estimator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqlab.config.run_spec import CheckpointSpec, ProgressSpec, RunSpec
from seqlab.errors import ConfigError
from seqlab.schema import check_fields

#: Rows that are too few to leave some out for validation.
FEW = 20


def run_spec(
    parameters: Mapping[str, Any],
    *,
    features: Mapping[str, Any],
    target: Mapping[str, Any],
    head: Mapping[str, Any],
    rows: int,
    seed: int,
) -> dict[str, Any]:
    """A checked spec.

    Args:
        parameters: of the estimator.
        features: ``data.features``.
        target: ``data.target``.
        head: the head's name and options.
        rows: how many there are to train on.
        seed: of the run.

    Raises:
        ConfigError: a parameter does not fit; its name is given.
    """
    held_out = parameters["validation_fraction"] if rows >= FEW else None
    spec: dict[str, Any] = {
        "seed": seed,
        "source": {"name": "rows"},
        "data": {
            "features": dict(features),
            "target": dict(target),
            "batch_size": parameters["batch_size"],
            "validation": held_out or None,
        },
        "encoder": _encoder(parameters),
        "head": {**head, **(parameters["head"] or {})},
        "optimizer": _named(parameters["optimizer"], lr=parameters["lr"]),
        "scheduler": {"name": "none"},
        "trainer": {
            "accelerator": parameters["device"],
            "max_epochs": parameters["max_epochs"],
            "num_threads": parameters["num_threads"],
            "enable_progress_bar": bool(parameters["verbose"]),
            "deterministic": parameters["device"] == "cpu",
        },
        "callbacks": {},
        "logger": {},
        "report": False,
    }
    if parameters["patience"] is not None and held_out:
        spec["callbacks"]["early_stopping"] = {"patience": parameters["patience"]}
    for key, value in (parameters["options"] or {}).items():
        _set(spec, str(key), value)
    whole = check_fields(spec, RunSpec, "")
    for key, settings in (("checkpoint", CheckpointSpec), ("progress", ProgressSpec)):
        given = whole["callbacks"].get(key, {})
        whole["callbacks"][key] = check_fields(given, settings, f"callbacks.{key}")
    return whole


def _encoder(parameters: Mapping[str, Any]) -> dict[str, Any]:
    wrappers = parameters["wrappers"]
    if wrappers is None:
        count = parameters["num_layers"]
        wrappers = [{"name": "bidirectional"}] if parameters["bidirectional"] else []
        if count != 1:
            wrappers = [*wrappers, {"name": "stacked", "num_layers": count}]
    return {
        "cell": _named(parameters["cell"], hidden_size=parameters["hidden_size"]),
        "wrappers": list(wrappers),
        "embedding": {"size": parameters["embedding_size"]},
        "dropout": parameters["dropout"],
        "engine": parameters["engine"],
    }


def _named(part: Any, **options: Any) -> dict[str, Any]:
    """A part by its name, with options; those that it has already count more."""
    given = {"name": part} if isinstance(part, str) else dict(part)
    return {**{key: value for key, value in options.items() if value is not None}, **given}


def _set(spec: dict[str, Any], key: str, value: Any) -> None:
    """Set a key of the config by its whole name.

    Raises:
        ConfigError: a part of the name is no mapping.
    """
    *path, last = key.split(".")
    node: Any = spec
    for name in path:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            raise ConfigError(f"options: {key}: there is no such key")
    node[last] = value
