"""Runs ``seqlab compare``: several jobs are composed, as for a sweep, and handed over together."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from seqlab import progress
from seqlab.collector import rare_collections
from seqlab.config.app import App, refuse_processes, runs
from seqlab.config.composed_jobs import composed_jobs
from seqlab.config.job_folder import refuse_taken, resumed_folder
from seqlab.config.overrides import expand
from seqlab.config.resolve import (
    COMPARISON_KEYS,
    Reader,
    comparison_settings,
    resolve,
    run_config,
)
from seqlab.config.shown import shown
from seqlab.console import say
from seqlab.errors import ConfigError

#: What may be given beside the folder of a comparison that goes on, or of finished runs.
_BESIDE = {
    "resume": ("seeds", "jobs", "budget", "level", "quality"),
    "runs": ("metric", "level", "quality"),
}


class Job(NamedTuple):
    """One contestant as it was composed: its name where it was given one, its words, its spec."""

    name: str | None
    words: tuple[str, ...]
    spec: dict[str, Any]


class ComparisonApp(App):
    """The verb ``compare``; its jobs are never Hydra's, who would run them one by one."""

    def _start(self, arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
        if arguments.cfg == "job":
            self._show(arguments)
            return
        if not runs(arguments):
            super()._start(arguments, parser)
            return
        arguments.multirun = True
        if (begun := resumed_folder(arguments.overrides)) is not None:
            _check_beside("resume", arguments.overrides)
            self._verb_module.BEGUN.check_in(begun)
        with rare_collections(), progress.stage("starting", summary=False, lines=False):
            settings, folder = self._settings(arguments)
            if folder is not None and not settings["resume"]:
                refuse_taken(folder)
            finished = settings["resume"] or settings["runs"]
            jobs = [] if finished else list(self._jobs(arguments, settings["contestants"]))
            verb = self._verb_module
        self.composing = False
        verb.run(settings, jobs, folder, arguments.config_dir)

    def _show(self, arguments: argparse.Namespace) -> None:
        """Print what each contestant would train; Hydra's own ``--cfg`` knows one config only."""
        package, arguments.multirun = arguments.package, True
        settings, _ = self._settings(arguments)
        if settings["resume"] or settings["runs"]:
            raise ConfigError("compare: --cfg job shows contestants that are to be trained")
        jobs = self._jobs(arguments, settings["contestants"], shown)
        for number, job in enumerate(jobs):
            config = OmegaConf.create(job.spec)
            if (part := OmegaConf.select(config, package) if package else config) is None:
                raise ConfigError(f"--package {package}: the config has no such key")
            say(f"# contestant {number}: {job.name or ' '.join(job.words)}")
            say(OmegaConf.to_yaml(part) if OmegaConf.is_config(part) else str(part))

    def _settings(self, arguments: argparse.Namespace) -> tuple[dict[str, Any], Path | None]:
        """The keys of the comparison itself, and its folder; None: where the finished runs lie."""
        config = next(iter(composed_jobs(arguments, self.config_name)))
        self.composing = False
        settings = comparison_settings(config)
        self.composing = True
        for key in _BESIDE:
            if settings[key]:
                _check_beside(key, arguments.overrides)
        if settings["resume"]:
            return settings, Path(settings["resume"])
        if settings["runs"] and "hydra.run.dir" not in map(_key, arguments.overrides):
            return settings, None
        return settings, Path(str(config.hydra.run.dir))

    def _jobs(
        self, arguments: argparse.Namespace, named: Mapping[str, Any], read: Reader = resolve
    ) -> Iterator[Job]:
        """Every combination of the values given, of each of the named lists of words if any."""
        common = [word for word in arguments.overrides if _key(word) != "contestants"]
        lists: list[tuple[str | None, Any]] = [*named.items()] or [(None, [])]
        for name, words in lists:
            arguments.overrides = [*common, *map(expand, _words(name, words))]
            found = list(self._composed(arguments, read))
            if name is not None and len(found) > 1:
                raise ConfigError(f"contestants.{name}: several values make several contestants")
            yield from (job._replace(name=name) for job in found)

    def _composed(self, arguments: argparse.Namespace, read: Reader) -> Iterator[Job]:
        for config in composed_jobs(arguments, self.config_name):
            self.composing = False
            words = _own_words(config)
            spec = read(run_config(config), self.verb, words)
            refuse_processes(spec)
            yield Job(None, words, spec)
            self.composing = True


def _check_beside(key: str, words: Sequence[str]) -> None:
    """Refuse words that go with neither ``resume=`` nor ``runs=``."""
    for other in map(_key, words):
        if other not in (key, *_BESIDE[key], "hydra.run.dir"):
            raise ConfigError(
                f"compare: {key}= knows its contestants; {other} cannot be given beside it "
                f"(only {', '.join(_BESIDE[key])})"
            )


def _own_words(config: DictConfig) -> tuple[str, ...]:
    """The words that ``seqlab train`` would need for the same run."""
    words = [str(word) for word in config.hydra.overrides.task]
    swept = [word for word in words if _key(word) == "seed"]
    if swept:
        raise ConfigError("compare: seeds are given for all contestants: seeds=5 or seeds=[3,7]")
    return tuple(word for word in words if _key(word) not in COMPARISON_KEYS)


def _words(name: str | None, words: Any) -> Sequence[str]:
    """The words of a named contestant: a list, or a string with spaces between them."""
    found = words.split() if isinstance(words, str) else words
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise ConfigError(f"contestants.{name}: expected words such as 'cell=lstm wrapper=none'")
    if name is not None and not found:
        raise ConfigError(f"contestants.{name}: no words are given")
    return found


def _key(word: str) -> str:
    return str(OverridesParser.create().parse_override(word).get_key_element()).lstrip("+~")
