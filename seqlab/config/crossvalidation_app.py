"""Runs ``seqlab crossvalidate``: one config is composed, and made into a run for each fold."""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from seqlab import progress
from seqlab.collector import rare_collections
from seqlab.config.app import App, refuse_processes, runs
from seqlab.config.composed_jobs import composed_jobs
from seqlab.config.job_folder import refuse_taken, resumed_folder
from seqlab.config.resolve import (
    CROSSVALIDATION_KEYS,
    crossvalidation_settings,
    resolve,
    run_config,
)
from seqlab.errors import ConfigError

#: What a resumed cross-validation may be given beside its folder.
_CHANGEABLE = ("resume", "jobs")

#: The words and the spec of one fold's run.
Fold = tuple[tuple[str, ...], dict[str, Any]]


class CrossvalidationApp(App):
    """The verb ``crossvalidate``; its runs are never Hydra's, who would know no mean of them."""

    def _start(self, arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
        if not runs(arguments):
            super()._start(arguments, parser)
            return
        given = OverridesParser.create().parse_overrides(arguments.overrides)
        _check_single(arguments, given)
        if (begun := resumed_folder(arguments.overrides)) is not None:
            _check_resumed(given)
            self._verb_module.BEGUN.check_in(begun)
        with rare_collections(), progress.stage("starting", summary=False, lines=False):
            (config,) = composed_jobs(arguments, self.config_name)
            self.composing = False
            settings = crossvalidation_settings(config)
            if settings["resume"]:
                folds, folder = [], Path(settings["resume"])
            else:
                folder = Path(str(config.hydra.run.dir))
                refuse_taken(folder)
                folds = self._folds(config, settings)
            verb = self._verb_module
        verb.run(settings, folds, folder, arguments.config_dir)

    def _run_in(self, config: DictConfig) -> dict[str, Any]:
        crossvalidation_settings(config)
        return run_config(config, CROSSVALIDATION_KEYS)

    def _folds(self, config: DictConfig, settings: Mapping[str, Any]) -> list[Fold]:
        """One run for each fold: the config with the rule that holds out this fold."""
        common = run_config(config, CROSSVALIDATION_KEYS)
        words = [
            str(word)
            for word in config.hydra.overrides.task
            if _key_of(str(word)) not in CROSSVALIDATION_KEYS
        ]
        rules = [_rule(settings, fold) for fold in range(settings["folds"])]
        # a check of a whole config takes a second or more; the others differ in a number alone
        spec = resolve(_divided(common, rules[0]), self.verb, words)
        refuse_processes(spec)
        return [
            (
                (*words, f"source.split={_spelt(rule)}"),
                {**copy.deepcopy(spec), "source": {**copy.deepcopy(spec["source"]), "split": rule}},
            )
            for rule in rules
        ]


def _check_single(arguments: argparse.Namespace, given: Sequence[Override]) -> None:
    if arguments.multirun:
        raise ConfigError("crossvalidate: leave out -m; jobs=N trains N folds at once")
    for override in given:
        if override.is_sweep_override():
            raise ConfigError(
                f"crossvalidate: {_key(override)} has several values; one config is validated at "
                "a time (seqlab compare holds several against each other)"
            )


def _check_resumed(given: Sequence[Override]) -> None:
    for override in given:
        if (key := _key(override)) not in _CHANGEABLE:
            raise ConfigError(
                f"crossvalidate: resume= knows its folds and its runs; {key} cannot be given "
                f"beside it (only {', '.join(_CHANGEABLE[1:])})"
            )


def _rule(settings: Mapping[str, Any], fold: int) -> dict[str, Any]:
    """``source.split`` of one fold."""
    if settings["stratify"] and settings["group"]:
        raise ConfigError("crossvalidate: stratify and group do not go together; give one of them")
    chosen = {key: settings[key] for key in ("stratify", "group") if settings[key]}
    return {
        "by": "folds",
        "folds": settings["folds"],
        "fold": fold,
        "seed": settings["fold_seed"],
        **chosen,
    }


def _divided(config: Mapping[str, Any], split: Mapping[str, Any]) -> dict[str, Any]:
    """A run's config with this rule for its source.

    Raises:
        ConfigError: the source is divided already.
    """
    source = config.get("source")
    if not isinstance(source, Mapping):
        return dict(config)  # resolve says that none was chosen
    if isinstance(source.get("split"), str):
        raise ConfigError(
            f"crossvalidate: source.split={source['split']} is one of the splits that the source "
            "comes with; choose a source whose rows can be divided, such as files"
        )
    if source.get("split"):
        raise ConfigError(
            f"crossvalidate: source.split={_spelt(source['split'])} divides the rows already; "
            "add source.split=null, and folds take its place"
        )
    for name in ("test", "validation"):
        if source.get(name):
            raise ConfigError(
                f"crossvalidate: source.{name}={source[name]} is held out already; give all rows "
                "as source.path=FILE (or [FILE, FILE]), and folds divide them"
            )
    if source.get("train"):
        raise ConfigError(
            f"crossvalidate: give source.path={source['train']} instead of source.train, and "
            "folds divide it"
        )
    return {**config, "source": {**source, "split": dict(split)}}


def _spelt(split: Any) -> str:
    """A value as Hydra reads it on the command line."""
    if isinstance(split, Mapping):
        return "{" + ", ".join(f"{key}: {_spelt(value)}" for key, value in split.items()) + "}"
    if isinstance(split, list):
        return "[" + ", ".join(map(_spelt, split)) + "]"
    plain = isinstance(split, str) and split.isidentifier()
    return split if plain else json.dumps(split, ensure_ascii=False)


def _key(override: Override) -> str:
    return str(override.get_key_element()).lstrip("+~")


def _key_of(word: str) -> str:
    return _key(OverridesParser.create().parse_override(word))
