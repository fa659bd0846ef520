"""Runs a verb as a Hydra application, with everything Hydra can do."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.version import setbase
from omegaconf import DictConfig, OmegaConf

from seqlab import progress, registry
from seqlab.collector import rare_collections
from seqlab.config import folders, search_path
from seqlab.config.composed_jobs import composed_jobs, run_composed
from seqlab.config.folders import main_folder
from seqlab.config.hydra_errors import COMPOSITION_ERRORS, translate
from seqlab.config.hydra_internals import get_args_parser, run_hydra
from seqlab.config.job_folder import (
    discard_empty,
    go_on,
    keep_for_later,
    refuse_taken,
    write_config,
)
from seqlab.config.key_hints import full_key
from seqlab.config.overrides import expand, quoted
from seqlab.config.resolve import resolve
from seqlab.config.shown import shown
from seqlab.console import is_primary
from seqlab.errors import ConfigError, SeqlabError, nearest
from seqlab.failures import machine_failure

VERSION_BASE = "1.3"
#: The primary config that has all groups; others may begin with it.
RUNS = "config"


class App:
    """One verb, run by Hydra: composes the config, resolves it, calls the verb's ``run``.

    Args:
        verb: the verb's name; ``seqlab.verbs.<verb>.run(spec, run_dir)`` is called for each job.
        config_name: the primary config in ``conf/``.
    """

    def __init__(self, verb: str, config_name: str) -> None:
        self.verb = verb
        self.config_name = config_name
        self.process = os.getpid()
        self.composing = True
        self.subfolder: str | None = None
        self.finished: list[Path] = []
        self.failures: list[SeqlabError | BrokenPipeError] = []

    def main(self, words: list[str]) -> None:
        """Run with these command-line words.

        Raises:
            SeqlabError: the first mistake; configs are checked before any job starts, and a mistake
            that shows later does not keep the other jobs of a sweep from running.
        """
        parser = get_args_parser()
        arguments = _parse(parser, [expand(word) for word in words], lambda: self._names()[""])
        with self.composer():
            self._start(arguments, parser)
        if self.failures:
            raise self.failures[0]

    @contextlib.contextmanager
    def composer(self) -> Iterator[None]:
        """Hydra set up for a block that composes configs; its errors are one line each.

        Raises:
            ConfigError: what Hydra says of a config.
        """
        setbase(VERSION_BASE)
        search_path.install()
        OmegaConf.register_new_resolver("first_of", _first_of, replace=True)
        OmegaConf.register_new_resolver("known", _known, replace=True)
        with self._translated():
            yield

    def _start(self, arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
        """Check all jobs, then let Hydra run them, or show what it is asked to show."""
        go_on(arguments)
        self.subfolder = keep_for_later(arguments, self.config_name)
        planned: list[DictConfig] = []
        single: DictConfig | None = None
        if runs(arguments):
            with rare_collections(), progress.stage("starting", summary=False, lines=False):
                for config in composed_jobs(arguments, self.config_name):
                    self.composing = False
                    self._check(config)
                    self.composing = True
                    planned.append(config.hydra)
                    single = config
        elif arguments.cfg in {"job", "all"}:
            self._check_shown(arguments)
        elsewhere = launched_elsewhere(planned)
        if elsewhere:  # the time of the day may be part of it, and goes on
            arguments.overrides.append(f"hydra.sweep.dir={quoted(str(planned[0].sweep.dir))}")
        try:
            if single is not None and is_plain(single, arguments):
                run_composed(arguments, self.config_name, single, self._job)
            else:
                run_hydra(
                    args=arguments,
                    args_parser=parser,
                    task_function=self._job,
                    config_path=str(main_folder()),
                    config_name=self.config_name,
                )
        except SeqlabError as error:
            if not elsewhere or self.composing:
                raise
            self.failures.append(error)
        if elsewhere:
            self.finished = finished_of(planned)
        if len(self.finished) > 1 and (ending := getattr(self._verb_module, "AFTER_SWEEP", None)):
            importlib.import_module(ending).after_sweep(self.finished)

    def _check(self, config: DictConfig) -> dict[str, Any]:
        """The spec of a job that may start in Hydra's folder."""
        hydra = HydraConfig.get()
        spec = resolve(config, self.verb, hydra.overrides.task)
        if hydra.mode == RunMode.MULTIRUN:
            refuse_processes(spec)
        folder = Path(hydra.runtime.output_dir)
        if self._keeps_folder and is_primary():  # its other processes share the folder
            refuse_taken(folder, resuming=bool(spec.get("resume")))
        return spec

    def _check_shown(self, arguments: argparse.Namespace) -> None:
        """Refuse what is only shown where a run would, before anything is printed."""
        for config in composed_jobs(arguments, self.config_name):
            self.composing = False
            shown(self._run_in(config), self.verb, HydraConfig.get().overrides.task)
            self.composing = True

    def _run_in(self, config: DictConfig) -> DictConfig | dict[str, Any]:
        """What a config says of a run; the verb's own keys are checked."""
        return config

    @property
    def _verb_module(self) -> Any:
        return importlib.import_module(f"seqlab.verbs.{self.verb}")

    @property
    def _keeps_folder(self) -> bool:
        """Whether the verb's jobs have folders of their own, which they lock."""
        return getattr(self._verb_module, "KEEPS_FOLDER", False)

    def _job(self, config: DictConfig) -> Any:
        """One job. In this process a mistake is kept, so that a sweep's other jobs still run."""
        self.composing = False
        folder = Path(HydraConfig.get().runtime.output_dir)
        try:
            spec = self._check(config)
            result = self._run(spec, folder, config)
        except SeqlabError as error:
            if os.getpid() != self.process:
                folder.mkdir(parents=True, exist_ok=True)  # for Hydra's log of it
                raise  # a launcher's worker: Hydra carries the error back
            self.failures.append(error)
            return None
        except Exception as error:  # Hydra would print a line about it
            known = error if isinstance(error, BrokenPipeError) else machine_failure(error)
            if known is None:
                raise
            known.__cause__ = error
            self.failures.append(known)
            return None
        self.composing = True
        self.finished.append(folder)
        return result.get("objective") if isinstance(result, Mapping) else result

    def _run(self, spec: dict[str, Any], folder: Path, config: DictConfig) -> Any:
        """Call the verb, which says when the folder is its own, or has none of its own."""
        begin = partial(write_config, folder, self.subfolder, config)
        with rare_collections(), progress.stage("starting", summary=False, lines=False):
            run, keeps = self._verb_module.run, self._keeps_folder
        written: str | None = None
        try:
            if not keeps:
                begin()
                written = self.subfolder
            result = run(spec, folder, begin=begin) if keeps else run(spec, folder)
        except BaseException:
            discard_empty(folder, written)
            raise
        discard_empty(folder)
        return result

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors in composing come out as ConfigErrors; those of a job as they are.

        Hydra prints errors and exits unless HYDRA_FULL_ERROR is set; here they are raised.
        """
        before = os.environ.get("HYDRA_FULL_ERROR")
        os.environ["HYDRA_FULL_ERROR"] = "1"
        try:
            yield
        except (SeqlabError, BrokenPipeError):
            raise
        except COMPOSITION_ERRORS as error:
            if not self.composing:
                raise
            raise machine_failure(error) or translate(error, self._names()) from error
        finally:
            os.environ.pop("HYDRA_FULL_ERROR")
            if before is not None:
                os.environ["HYDRA_FULL_ERROR"] = before

    def _names(self) -> dict[str, list[str]]:
        primary = OmegaConf.load(main_folder() / f"{self.config_name}.yaml")
        choices = [choice for choice in primary.defaults if OmegaConf.is_dict(choice)]
        chosen = {str(group) for choice in choices for group in choice if " " not in group}
        groups = {
            group: search_path.choices(group) for group in sorted({*chosen, *folders.groups()})
        }
        keys = [str(key) for key in primary if key not in {"defaults", "hydra"}]
        used = groups if RUNS in (self.config_name, *map(str, primary.defaults)) else {}
        return {**groups, "": sorted({*used, *keys})}


def _parse(
    parser: argparse.ArgumentParser, words: list[str], keys: Callable[[], list[str]]
) -> argparse.Namespace:
    """Hydra's own options; what argparse would print on several lines becomes one error."""
    _refuse_dashed_keys(parser, words, keys)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            arguments = parser.parse_intermixed_args(words)
    except SystemExit as stop:
        if not stop.code:
            raise
        reason = said.getvalue().strip().splitlines()[-1].partition("error: ")[2]
        raise ConfigError(f"{reason}; see `seqlab --help`") from None
    if arguments.config_path is not None and "://" not in arguments.config_path:
        arguments.config_path = str(Path(arguments.config_path).absolute())
    if arguments.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun reads a pickle file, which could run any code")
    return arguments


def _refuse_dashed_keys(
    parser: argparse.ArgumentParser, words: list[str], keys: Callable[[], list[str]]
) -> None:
    """Keys with dashes, as other programs have them: say how they are given here."""
    known = [name for action in parser._actions for name in action.option_strings]  # noqa: SLF001
    for word, after in zip(words, [*words, ""][1:], strict=True):
        name, equals, value = word.partition("=")
        if name.startswith("-") and equals and name[1:].partition(".")[0] in keys():
            raise ConfigError(f"{word}: keys are given without dashes: {word[1:]}")
        if not name.startswith("--") or name in known:
            continue
        key = name.lstrip("-").replace("-", "_")
        given = value if equals else after if after and "=" not in after else "VALUE"
        if key in keys():
            raise ConfigError(f"{word}: keys are given without dashes: {key}={given}")
        if close := nearest(name, known):
            raise ConfigError(f"{word}: there is no such option, did you mean '{close}'?")
        raise ConfigError(
            f"{word}: there is no such option; keys are given without dashes: "
            f"{full_key(key, given)}"
        )


def refuse_processes(spec: Mapping[str, Any]) -> None:
    """A sweep starts its jobs one by one; each process of a DDP job would start it again."""
    trainer = spec.get("trainer", {})
    devices = trainer.get("devices", 1)
    count = len(devices) if isinstance(devices, list) else devices
    if count not in {1, "1"} or str(trainer.get("strategy", "auto")).startswith(("ddp", "fsdp")):
        raise ConfigError(
            f"trainer: a sweep (-m) cannot run jobs on several devices "
            f"(devices={devices}, strategy={trainer.get('strategy')}); "
            "start the runs one by one, or use trainer.devices=1 trainer.strategy=auto"
        )


def runs(arguments: argparse.Namespace) -> bool:
    """Whether jobs will run; Hydra's other commands only show something."""
    shows = (arguments.help, arguments.hydra_help, arguments.cfg, arguments.shell_completion)
    return not any((*shows, arguments.info is not None))


def is_plain(config: DictConfig, arguments: argparse.Namespace) -> bool:
    """Whether a job is the only one, and Hydra was asked for nothing beside running it."""
    asked = arguments.multirun or arguments.resolve or config.hydra.verbose
    return config.hydra.mode == RunMode.RUN and not asked


def launched_elsewhere(jobs: Sequence[DictConfig]) -> bool:
    """Whether a launcher other than Hydra's own runs the jobs: in processes that tell nothing.

    Args:
        jobs: the node ``hydra`` of each.
    """
    launcher = str(OmegaConf.select(jobs[0], "launcher._target_")) if jobs else ""
    multirun = bool(jobs) and jobs[0].mode == RunMode.MULTIRUN
    return multirun and not launcher.endswith(".BasicLauncher")


def finished_of(jobs: Sequence[DictConfig]) -> list[Path]:
    """The folders of those jobs that left a result.

    Args:
        jobs: the node ``hydra`` of each.
    """
    folders = [Path(str(job.runtime.output_dir)) for job in jobs]
    return [folder for folder in folders if (folder / "result.json").is_file()]


def _known(kind: str) -> str:
    """The names of a kind, for the help."""
    return ", ".join(registry.available(kind))


def _first_of(*values: Any) -> str:
    """The first value that is a plain name, for run folders named after a choice."""
    return next((str(value) for value in values if value and "," not in str(value)), "run")
